// What one call through a handle costs when nothing is in its way: admission, the choice of a replica, a handler that returns at once, release.
//
// Usage: HandleCost [ROUNDS] [CALLS_PER_ROUND] [timed]
// timed: as in a server whose /metrics somebody reads.
// Prints the median round: "<ns per call> <bytes per call>"
using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

int rounds = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 9;
int calls = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 2_000_000;

ServeEnvironment environment = new(TimeProvider.System, new SeededRandom(1), ServeEnvironment.ResumeOnThreadPool, NullLoggerFactory.Instance)
{
    // As in a server: there, and nobody listens.
    Telemetry = new(meters: null),
};
if (args is [_, _, "timed"])
{
    environment.Telemetry.StartTiming();
}

DeploymentDefinition definition = new("Next", _ => new Next(), new(), http: null, blocks: false, typeof(int), typeof(int));
using ServedDeployment served = new(
    "bench", definition, new DeploymentLimits { MaxOngoingRequests = 4, MaxQueuedRequests = 100 }, environment);
foreach (string id in (string[])["a", "b"])
{
    Replica replica = new(id, definition, environment.Time);
    await replica.StartAsync(
        new("bench", "Next", id, () => 0, args: null, environment.Time, NullLogger.Instance, new ReplicaHandles("bench", new Dictionary<string, ServedDeployment>())),
        userConfig: null);
    served.Gate.AddReplica(replica, 4);
}

DeploymentHandle<int, int> handle = new(new HandleCalls<int, int>(served, served.OpenHandle()));
double[] nanoseconds = new double[rounds];
long bytes = 0;
Measure(calls / 10);
for (int i = 0; i < rounds; i++)
{
    long allocated = GC.GetAllocatedBytesForCurrentThread();
    nanoseconds[i] = Measure(calls);
    bytes = Math.Max(bytes, GC.GetAllocatedBytesForCurrentThread() - allocated);
}

Array.Sort(nanoseconds);
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{nanoseconds[rounds / 2]:F1} {(double)bytes / calls:F2}"));
return 0;

double Measure(int count)
{
    long start = Stopwatch.GetTimestamp();
    int value = 0;
    for (int i = 0; i < count; i++)
    {
        ValueTask<int> call = handle.CallAsync(value);
        value = call.IsCompletedSuccessfully ? call.Result : throw new InvalidOperationException("A call that nothing was in the way of did not complete at once.");
    }

    return value == count
        ? Stopwatch.GetElapsedTime(start).TotalNanoseconds / count
        : throw new InvalidOperationException($"{count} calls counted to {value}.");
}

/// <summary>The least that a handler can do.</summary>
internal sealed class Next : IDeployment<int, int>
{
    public ValueTask<int> HandleAsync(int request, CancellationToken cancellationToken) => new(request + 1);
}
