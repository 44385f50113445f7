using System.Text.Json;
using System.Threading.Channels;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Controller;

/// <summary>The real acts on real replicas, on a clock that the test owns.</summary>
public sealed class ReplicaActsTests
{
    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Start_AllIsWell_ConstructorThenUserConfigThenOneHealthCheck()
    {
        Rig rig = new();

        rig.Acts.Start(rig.Deployment, rig.Replica, new("""{"a":1}""", """{"model":"m"}""", TimeSpan.FromSeconds(1), 5), rig.Siblings);

        Assert.Equal("""{"a":1}""", Assert.IsType<ControllerMessage.Started>(await rig.ToldAsync()).UserConfig);
        Assert.Equal(["make 3 m", """config {"a":1}""", "check"], rig.Handler.Happened);
    }

    [Theory]
    [InlineData("make")]
    [InlineData("config")]
    [InlineData("check")]
    public async Task Start_AStepFails_IsOneFailedStartAndWhatWasMadeIsDisposed(string step)
    {
        Rig rig = new();
        rig.Handler.Fails = step;

        rig.Acts.Start(rig.Deployment, rig.Replica, new("{}", """{"model":"m"}""", TimeSpan.FromSeconds(1), 5), rig.Siblings);

        Assert.Equal($"no {step}", Assert.IsType<ControllerMessage.StartFailed>(await rig.ToldAsync()).Error.Message);
        Assert.Equal(step == "make" ? 0 : 1, rig.Handler.Happened.Count(h => h == "dispose"));
        Assert.False(rig.HasMore);
    }

    [Theory]
    [InlineData("config", false)]
    [InlineData("check", true)]
    public async Task Reconfigure_AStepFails_IsRefusedAndSaysWhetherItHasTheValue(string step, bool wasTaken)
    {
        Rig rig = await Rig.StartedAsync();
        rig.Handler.Fails = step;

        rig.Acts.Reconfigure(rig.Deployment, rig.Replica, """{"a":2}""", TimeSpan.FromSeconds(1));

        ControllerMessage.ReconfigureFailed refused = Assert.IsType<ControllerMessage.ReconfigureFailed>(await rig.ToldAsync());
        Assert.Equal((wasTaken, $"no {step}"), (refused.WasTaken, refused.Error.Message));
        Assert.False(rig.HasMore);
    }

    /// <summary>A check does not hold it against it: told to have the value, it would have all others take it too. And that its connection is lost says less than how it ended.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Reconfigure_TheProcessEndsOfTheValue_OnlyItsEndIsTold(bool answers)
    {
        Rig rig = await Rig.StartedAsync(new FakeProcess { DiesOfUserConfig = answers, EndsInReconfigure = !answers });

        rig.Acts.Reconfigure(rig.Deployment, rig.Replica, """{"a":2}""", TimeSpan.FromSeconds(1));

        Assert.Equal("exit code 3", Assert.IsType<ControllerMessage.Died>(await rig.ToldAsync()).Reason);
        Assert.False(rig.HasMore);
    }

    /// <summary>What it says is of the value before: the handler is asked once more when it has ended.</summary>
    [Fact]
    public async Task Reconfigure_ACheckStillRuns_ItsAnswerDoesNotCount()
    {
        Rig rig = await Rig.StartedAsync();
        TaskCompletionSource before = rig.Handler.Check = new();
        rig.Acts.CheckHealth(rig.Deployment, rig.Replica, TimeSpan.FromSeconds(1));
        await rig.Clock.WhenArmedAsync(1, TestEnds);

        rig.Acts.Reconfigure(rig.Deployment, rig.Replica, """{"a":2}""", TimeSpan.FromSeconds(1));
        await rig.Clock.WhenArmedAsync(2, TestEnds);
        rig.Handler.Check = null;
        rig.Handler.Fails = "check";
        before.SetResult();

        ControllerMessage[] told = [await rig.ToldAsync(), await rig.ToldAsync()];
        Assert.Null(Assert.Single(told.OfType<ControllerMessage.Checked>()).Error);
        ControllerMessage.ReconfigureFailed refused = Assert.Single(told.OfType<ControllerMessage.ReconfigureFailed>());
        Assert.Equal((true, "no check"), (refused.WasTaken, refused.Error.Message));
    }

    [Fact]
    public async Task CheckHealth_Hangs_FailsAfterItsTimeoutAndIsNeverPiledUpon()
    {
        Rig rig = await Rig.StartedAsync();
        rig.Handler.Check = new TaskCompletionSource();

        for (int i = 0; i < 3; i++)
        {
            rig.Acts.CheckHealth(rig.Deployment, rig.Replica, TimeSpan.FromSeconds(1));
            await rig.Clock.WhenArmedAsync(1, TestEnds);
            Assert.False(rig.HasMore);
            rig.Clock.Advance(TimeSpan.FromSeconds(1));
            Assert.Contains("health_check_timeout_s = 1", Assert.IsType<ControllerMessage.Checked>(await rig.ToldAsync()).Error, StringComparison.Ordinal);
        }

        // One at the start, and one that hangs.
        Assert.Equal(2, rig.Handler.Happened.Count(h => h == "check"));
    }

    [Fact]
    public async Task Stop_Idle_IsImmediate()
    {
        Rig rig = await Rig.StartedAsync();

        rig.Acts.Stop(rig.Deployment, rig.Replica, TimeSpan.FromSeconds(20));

        Assert.IsType<ControllerMessage.Stopped>(await rig.ToldAsync());
        Assert.Equal("dispose", rig.Handler.Happened[^1]);
        Assert.Equal(0, rig.Clock.ArmedTimers);
    }

    [Fact]
    public async Task Stop_TheHandlerWillNotEnd_CancelsAtTheGraceAbandonsLaterAndTellsWhenItEnds()
    {
        Rig rig = await Rig.StartedAsync();
        AdmissionGate gate = rig.Deployment.Served.Gate;
        gate.AddReplica(rig.Replica, 1);
        RequestLease lease = gate.Admit(gate.AddHandle(1)).Lease;
        gate.RemoveReplica(rig.Replica);

        rig.Acts.Stop(rig.Deployment, rig.Replica, TimeSpan.FromSeconds(20));
        await rig.Clock.WhenArmedAsync(1, TestEnds);
        rig.Clock.Advance(TimeSpan.FromSeconds(20) - TimeSpan.FromTicks(1));
        Assert.False(rig.Replica.Stopping.IsCancellationRequested);
        TaskCompletionSource cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using CancellationTokenRegistration registration = rig.Replica.Stopping.UnsafeRegister(static c => ((TaskCompletionSource)c!).SetResult(), cancelled);
        rig.Clock.Advance(TimeSpan.FromTicks(1));
        await cancelled.Task.WaitAsync(TestEnds);
        await rig.Clock.WhenArmedAsync(1, TestEnds);
        Assert.False(rig.HasMore);
        rig.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.IsType<ControllerMessage.Abandoned>(await rig.ToldAsync());
        Assert.DoesNotContain("dispose", rig.Handler.Happened);

        lease.End(RequestEnd.Cancelled);

        Assert.IsType<ControllerMessage.Stopped>(await rig.ToldAsync());
        Assert.Equal("dispose", rig.Handler.Happened[^1]);
        Assert.False(rig.HasMore);
    }

    [Fact]
    public async Task Stop_DisposeThrows_IsLoggedAndItIsStoppedAllTheSame()
    {
        Rig rig = await Rig.StartedAsync();
        rig.Handler.Fails = "dispose";

        rig.Acts.Stop(rig.Deployment, rig.Replica, TimeSpan.Zero);

        Assert.IsType<ControllerMessage.Stopped>(await rig.ToldAsync());
        Assert.Contains(rig.Logs.GetSnapshot(), r => r.Id.Id == EventIds.ReplicaDisposeFailed);
    }

    private sealed class Rig
    {
        private readonly Channel<ControllerMessage> _told = Channel.CreateUnbounded<ControllerMessage>();

        /// <param name="process">Takes the place of <see cref="Handler"/>.</param>
        public Rig(FakeProcess? process = null)
        {
            ServeEnvironment environment = new(Clock, new SeededRandom(1), ServeEnvironment.ResumeOnThreadPool, new LoggerFactory([new FakeLoggerProvider(Logs)]));
            DeploymentDefinition definition = new("Front", process is null ? Handler.Made : _ => process, new(), http: null, blocks: false, typeof(HttpRequest), typeof(string));
            DeploymentGoal goal = ControllerHarness.Front();
            ServedDeployment served = new("app", definition, DeploymentState.LimitsOf(goal), environment);
            Deployment = new(served, definition, new(new("test:v1", null), null), goal);
            Replica = new("r1", definition, Clock) { Rank = 3 };
            Siblings = new Dictionary<string, ServedDeployment> { ["Front"] = served };
            Acts = new(environment, environment.Loggers.CreateLogger("controller"), message => _told.Writer.TryWrite(message));
        }

        public ManualTimeProvider Clock { get; } = new();

        public FakeLogCollector Logs { get; } = FakeLogCollector.Create(new());

        public RecordingHandler Handler { get; } = new();

        public ReplicaActs Acts { get; }

        public DeploymentState Deployment { get; }

        public Replica Replica { get; }

        public IReadOnlyDictionary<string, ServedDeployment> Siblings { get; }

        public bool HasMore => _told.Reader.TryPeek(out _);

        public static async Task<Rig> StartedAsync(FakeProcess? process = null)
        {
            Rig rig = new(process);
            rig.Acts.Start(rig.Deployment, rig.Replica, new("{}", """{"model":"m"}""", TimeSpan.FromSeconds(1), 5), rig.Siblings);
            Assert.IsType<ControllerMessage.Started>(await rig.ToldAsync());
            return rig;
        }

        public async Task<ControllerMessage> ToldAsync() => await _told.Reader.ReadAsync(TestEnds);
    }

    /// <summary>Writes down what is done to it.</summary>
    private sealed class RecordingHandler : IDeployment<HttpRequest, string>, IReconfigurable, IHealthChecked, IDisposable
    {
        public List<string> Happened { get; } = [];

        public string? Fails { get; set; }

        public TaskCompletionSource? Check { get; set; }

        public RecordingHandler Made(DeploymentContext context)
        {
            Happens("make", $"make {context.Rank} {context.Args!.Value.GetProperty("model").GetString()}");
            return this;
        }

        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new("ok");

        public ValueTask ReconfigureAsync(JsonElement userConfig, CancellationToken cancellationToken)
        {
            Happens("config", $"config {userConfig.GetRawText()}");
            return ValueTask.CompletedTask;
        }

        public ValueTask CheckHealthAsync(CancellationToken cancellationToken)
        {
            Happens("check", "check");
            return Check is null ? ValueTask.CompletedTask : new(Check.Task);
        }

        public void Dispose() => Happens("dispose", "dispose");

        private void Happens(string step, string what)
        {
            Happened.Add(what);
            if (Fails == step)
            {
                throw new InvalidOperationException($"no {step}");
            }
        }
    }
}
