using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Handles;

/// <summary>Deployments that call each other in a circle would wait for permits that they hold themselves.</summary>
public sealed class CalleesTests
{
    private readonly Dictionary<string, ServedDeployment> _deployments = [];

    public CalleesTests()
    {
        ServeEnvironment environment = new(new ManualTimeProvider(), new SeededRandom(1), ServeEnvironment.ResumeOnThreadPool, NullLoggerFactory.Instance);
        foreach (string name in (string[])["A", "B", "C", "D"])
        {
            DeploymentDefinition definition = new(name, static _ => new object(), new(), http: null, blocks: false, typeof(int), typeof(int));
            _deployments[name] = new("app", definition, new() { MaxOngoingRequests = 1, MaxQueuedRequests = 1 }, environment);
        }
    }

    [Fact]
    public void Create_ACircle_SaysWhichWayItGoes()
    {
        Open("A", "B");
        Open("B", "C");
        Open("B", "D");

        InvalidOperationException circle = Assert.Throws<InvalidOperationException>(() => Open("C", "A"));

        Assert.StartsWith("Deployments of application 'app' call each other in a circle: C -> A -> B -> C.", circle.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_AHandleToItself_IsACircle()
    {
        InvalidOperationException circle = Assert.Throws<InvalidOperationException>(() => Open("A", "A"));
        Assert.Contains("A -> A", circle.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_ADiamond_IsNoCircle()
    {
        Open("A", "B");
        Open("A", "C");
        Open("B", "D");
        Open("C", "D");
        Open("A", "D");
        Open("A", "B");
        Assert.Equal(2, _deployments["B"].Gate.Handles.Length);
    }

    private void Open(string from, string to) => new ReplicaHandles("app", _deployments, _deployments[from]).Create<int, int>(to);
}
