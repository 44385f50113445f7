using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Handles;

/// <summary>A gate whose clock, chance and continuations belong to the test: nothing goes on until <see cref="RunResumed"/>.</summary>
internal sealed class TestGate
{
    private readonly Queue<IThreadPoolWorkItem> _resumed = new();
    private int _replicas;

    public TestGate(ulong seed = 1)
    {
        Environment = new(Clock, new SeededRandom(seed), _resumed.Enqueue, NullLoggerFactory.Instance);
        Gate = new(Environment);
    }

    public ManualTimeProvider Clock { get; } = new();

    public ServeEnvironment Environment { get; }

    public AdmissionGate Gate { get; }

    /// <summary>Waits that have ended and whose callers have not gone on yet.</summary>
    public int Resumed => _resumed.Count;

    public Replica AddReplica(int limit)
    {
        Replica replica = NewReplica();
        Gate.AddReplica(replica, limit);
        return replica;
    }

    public Replica NewReplica() => NewReplica($"r{_replicas++}", Clock);

    public static Replica NewReplica(string id, TimeProvider clock) =>
        new(id, new("D", static _ => new object(), new DeploymentOptions(), http: null, blocks: false), clock);

    public RequestLease Run(Handle handle)
    {
        Admission admission = Gate.Admit(handle);
        Assert.Equal(AdmissionKind.Run, admission.Kind);
        return admission.Lease;
    }

    public Waiter Wait(Handle handle)
    {
        Admission admission = Gate.Admit(handle);
        Assert.Equal(AdmissionKind.Wait, admission.Kind);
        return admission.Waiter!;
    }

    public void Refused(Handle handle, int queued)
    {
        Admission admission = Gate.Admit(handle);
        Assert.Equal(AdmissionKind.Refused, admission.Kind);
        Assert.Equal(queued, admission.Queued);
    }

    /// <summary>Lets all go on whose wait has ended; says who they were, in the order in which it ended.</summary>
    public List<Waiter> RunResumed()
    {
        List<Waiter> ran = [];
        while (_resumed.TryDequeue(out IThreadPoolWorkItem? item))
        {
            item.Execute();
            ran.Add((Waiter)item);
        }

        return ran;
    }

    /// <summary>How the wait ended; <see langword="null"/> while it goes on or its caller has not been resumed.</summary>
    public static WaitEnd? EndOf(Waiter waiter)
    {
        ValueTask<WaitEnd> ended = waiter.Ended;
        return ended.IsCompleted ? ended.Result : null;
    }
}
