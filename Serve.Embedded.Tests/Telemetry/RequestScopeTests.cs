using Serve.Embedded.Telemetry;
using Xunit;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class RequestScopeTests
{
    [Fact]
    public void Run_WithinAnotherScope_GivesThatOneBack()
    {
        RequestScope outer = new();
        RequestScope? inside = null;
        RequestScope? after = null;

        outer.Run(
            _ =>
            {
                RequestScope inner = new();
                inner.Run(_ => inside = RequestScope.Current, null);
                after = RequestScope.Current;
                Assert.Same(inner, inside);
            },
            null);

        Assert.Same(outer, after);
        Assert.Null(RequestScope.Current);
    }

    [Fact]
    public async Task Enter_InAnAsyncMethod_FlowsThroughItsAwaitsAndNotToItsCaller()
    {
        RequestScope scope = new();

        RequestScope? seen = await HandleAsync();

        Assert.Same(scope, seen);
        Assert.Null(RequestScope.Current);

        async Task<RequestScope?> HandleAsync()
        {
            scope.Enter();
            await Task.Yield();
            return await Task.Run(() => RequestScope.Current);
        }
    }

    [Fact]
    public void Run_KeepsTheAmbientValuesOfTheMaker()
    {
        AsyncLocal<string> other = new() { Value = "maker" };
        RequestScope scope = new();
        other.Value = "later";

        string? seen = null;
        scope.Run(_ => seen = other.Value, null);

        Assert.Equal("maker", seen);
        Assert.Equal("later", other.Value);
    }

    [Fact]
    public void Clear_ForgetsTheRequest()
    {
        RequestScope scope = new() { RequestId = "1", Application = "a", Deployment = "d", Replica = "r", Route = "/" };

        scope.Clear();

        Assert.Equal([null, null, null, null, null], new[] { scope.RequestId, scope.Application, scope.Deployment, scope.Replica, scope.Route });
    }

    [Fact]
    public void Constructor_WhereFlowIsSuppressed_SaysSo()
    {
        using (ExecutionContext.SuppressFlow())
        {
            Assert.Throws<InvalidOperationException>(() => new RequestScope());
        }
    }

    [Fact]
    public void EnterAndRun_PerRequest_AllocateNothing()
    {
        RequestScope scope = new();
        ContextCallback work = static _ => Assert.True(RequestScope.Current is not null);
        ContextCallback cycles = state =>
        {
            for (int i = 0; i < 1000; i++)
            {
                scope.Enter();
                scope.Run(work, null);
            }
        };

        Assert.Equal(0, Allocations.Of(() => scope.Run(cycles, null)));
    }
}
