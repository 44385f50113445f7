using System.Globalization;
using Serve.Embedded.Controller;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>
/// Everything that can happen to a server, at random, against the real controller and the real admission code. The environment variable <c>SERVE_SIMULATION_EVENTS</c> sets how many events each seed
/// gets, <c>SERVE_SIMULATION_SEED</c> takes one seed instead of the usual ones; a million events in one run:
/// <code>SERVE_SIMULATION_SEED=1 SERVE_SIMULATION_EVENTS=1000000 dotnet run -c Release --project Serve.Embedded.Tests -- -class Serve.Embedded.Tests.Simulation.ControllerSimulationTests</code>
/// </summary>
public sealed class ControllerSimulationTests(ITestOutputHelper output)
{
    private const long Events = 30_000;

    public static TheoryData<ulong> Seeds => Setting("SERVE_SIMULATION_SEED") is { } seed ? [(ulong)seed] : [1, 2, 3, 4, 5];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Run_AnythingHappens_EveryInvariantHolds(ulong seed)
    {
        ControllerSimulation simulation = new(seed);

        simulation.Run(Setting("SERVE_SIMULATION_EVENTS") ?? Events);

        // What never happened was not tested.
        Assert.All([simulation.Scaling.Scaled, simulation.Scaling.Woken, simulation.Scaling.HeldBack], count => Assert.True(count > 0, simulation.Summary));

        output.WriteLine($"Seed {seed}: {simulation.Summary}.");
    }

    [Fact]
    public void Run_TheSameSeed_TheSameHappens()
    {
        ControllerSimulation first = new(7);
        ControllerSimulation second = new(7);
        ControllerSimulation other = new(8);

        first.Run(10_000);
        second.Run(10_000);
        other.Run(10_000);

        Assert.Equal((first.TraceHash, first.Events), (second.TraceHash, second.Events));
        Assert.NotEqual(first.TraceHash, other.TraceHash);
    }

    [Fact]
    public void Run_OneStoppedIsNeverTold_IsSeenNotToSettle()
    {
        int told = 0;
        AssertSees(Invariant.Settles, new() { Tell = message => message is ControllerMessage.Stopped && ++told == 20 ? [] : [message] });
    }

    [Fact]
    public void Run_AReplicaIsSaidToHaveStartedTwice_TheControllerIsSeenToFail()
    {
        ControllerMessage? first = null;
        AssertSees(Invariant.ControllerWorks, new()
        {
            Tell = message =>
            {
                first ??= message as ControllerMessage.Started;
                return message is ControllerMessage.Checked ? [message, first!] : [message];
            },
        });
    }

    [Fact]
    public void Run_AHealthyReplicaIsSaidToBeIll_TheFloorIsSeenToBreak() => AssertSees(Invariant.FloorServes, new()
    {
        Tell = message => message is ControllerMessage.Checked { Error: null } check ? Enumerable.Repeat(check with { Error = "forged" }, 3) : [message],
    });

    [Fact]
    public void Run_AReplicaIsStoppedWhileItWorks_IsSeenToLoseRequests() =>
        AssertSees(Invariant.NoneLostOrRepeated, new() { IsIdle = _ => true });

    [Fact]
    public void Run_APermitThatComesBackIsOfferedToNobody_IsSeen()
    {
        int ended = 0;
        AssertSees(Invariant.NoneLostOrRepeated, new()
        {
            EndLease = (lease, end) =>
            {
                if (++ended == 500)
                {
                    lease.Handle.Counts.Ended(end);
                    lease.Replica.Permits.Finish();
                }
                else
                {
                    lease.End(end);
                }
            },
        });
    }

    [Fact]
    public void Run_AWorkEndsItsLeaseTwice_IsSeen()
    {
        int ended = 0;
        AssertSees(Invariant.NoneLostOrRepeated, new()
        {
            EndLease = (lease, end) =>
            {
                lease.End(end);
                if (++ended > 500 && lease.Replica.Permits.Ongoing > 0)
                {
                    lease.End(end);
                }
            },
        });
    }

    [Fact]
    public void Run_NobodyTellsThatARequestWaitsAtZero_IsSeen() =>
        AssertSees(Invariant.Wakes, new() { AfterStep = deployment => deployment.Served.Gate.OnStarved = null });

    [Fact]
    public void Run_ADeploymentTakesMoreThanItsShareOfTheBox_IsSeen() => AssertSees(Invariant.BoxHolds, new()
    {
        AfterStep = deployment =>
        {
            if (deployment.HeldBack is { } why)
            {
                deployment.ScaleTo(deployment.NumReplicas + 1, why);
            }
        },
    });

    [Fact]
    public void Run_APolicyWishesForMoreThanItSays_IsSeenNotToSettle() =>
        AssertSees(Invariant.Settles, new() { Wish = wish => wish + 1 }, seed: 12);

    /// <param name="invariant">Which is broken.</param>
    /// <param name="sabotage">What breaks it.</param>
    /// <param name="seed">Of a world that has what this needs.</param>
    private static void AssertSees(Invariant invariant, Sabotage sabotage, ulong seed = 11)
    {
        ControllerSimulationFault fault = Assert.Throws<ControllerSimulationFault>(() => new ControllerSimulation(seed, sabotage).Run(60_000));
        Assert.True(invariant == fault.Invariant, fault.ToString());
        Assert.Contains($"Seed {seed}", fault.Message, StringComparison.Ordinal);
    }

    private static long? Setting(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? long.Parse(text, CultureInfo.InvariantCulture) : null;
}
