using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Replicas.Workers;

public sealed class WorkerPortsTests
{
    /// <summary>The system alone names one of them again among so many, before anybody listens on it.</summary>
    [Fact]
    public void Next_NotGivenBack_IsNoOtherWorkers()
    {
        WorkerPorts ports = new();

        List<int> given = [.. Enumerable.Range(0, 2_000).Select(_ => ports.Next())];

        Assert.Equal(given.Count, given.Distinct().Count());
    }

    /// <summary>More than the system has: 28,232, unless it is told otherwise.</summary>
    [Fact]
    public void Next_GivenBack_IsThereAgain()
    {
        WorkerPorts ports = new();
        for (int i = 0; i < 40_000; i++)
        {
            ports.GiveBack(ports.Next());
        }
    }
}
