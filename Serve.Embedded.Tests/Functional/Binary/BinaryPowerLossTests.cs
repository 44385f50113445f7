using System.Globalization;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>As near to a loss of power as one comes from outside: the process is gone between two instructions, again and again, while it takes one deploy after the other.</summary>
public sealed class BinaryPowerLossTests
{
    private const int KillSignal = 9;
    private const int Rounds = 20;

    [Fact]
    public async Task Kill_AtAnyMomentOfManyDeploys_ResumesTheLastThatWasGood()
    {
        SeededRandom random = new(1);
        using OperatorSite site = new(Deploy(1));
        int asked = 1;
        int toldGood = 1;
        for (int round = 0; round <= Rounds; round++)
        {
            await using ServeProcess server = await site.StartAsync(round == 0 ? [] : ["--resume"]);
            int served = int.Parse(await server.Client.GetStringAsync("/", server.Deadline), CultureInfo.InvariantCulture);
            Finished history = await site.RunAsync(server, "history");

            // What was said to be good is not lost. One that came later may have become good before anybody was told.
            Assert.InRange(served, toldGood, asked);
            Assert.False(IsBad(served));
            Assert.Equal((0, string.Empty), (history.ExitCode, history.Error));
            Assert.DoesNotContain(server.Lines, l => l.StartsWith("ERROR ", StringComparison.Ordinal) || (l.StartsWith("WARNING ", StringComparison.Ordinal) && l.Contains("generation", StringComparison.Ordinal)));
            toldGood = served;

            using CancellationTokenSource cut = new(TimeSpan.FromMilliseconds(random.Next(1, 400)));
            using CancellationTokenRegistration kill = cut.Token.UnsafeRegister(_ => server.Signal(KillSignal), null);
            while (!cut.IsCancellationRequested)
            {
                asked++;
                Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", Deploy(asked)), "--wait");
                toldGood = deploy.ExitCode == 0 ? asked : toldGood;
            }

            await server.ExitAsync();
        }
    }

    /// <summary>Every third refuses its settings and is rolled back.</summary>
    private static bool IsBad(int number) => number % 3 == 0;

    private static string Deploy(int number) => Toml.Slow(message: number.ToString(CultureInfo.InvariantCulture), delay: IsBad(number) ? -1 : 0);
}
