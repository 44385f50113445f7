using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Deployments;

/// <summary>
/// What a user's own unit tests do, without a server, and with nothing but what is public: each thing that a handler, a router or a policy is handed can be made.
/// </summary>
public sealed class UnitTestTests
{
    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Ingress_ItsChildIsAFunction_AnswersWithWhatThatSays()
    {
        Chat chat = new(new((text, _) => new($"<{text}>")));
        Assert.Equal("<hi>", await chat.HandleAsync(Asks("hi"), TestEnds));
    }

    [Fact]
    public async Task Ingress_ItsChildRefuses_IsTheOneToCatchIt()
    {
        Chat full = new(new((_, _) => throw new BackPressureException("full", 429, 7)));
        Chat gone = new(new((_, _) => throw new DeploymentUnavailableException("gone")));

        Assert.Equal("later: 429, 7 s", await full.HandleAsync(Asks("hi"), TestEnds));
        await Assert.ThrowsAsync<DeploymentUnavailableException>(async () => await gone.HandleAsync(Asks("hi"), TestEnds));
        BackPressureException plain = new("full");
        Assert.Equal((503, 1), (plain.StatusCode, plain.RetryAfterSeconds));
    }

    [Fact]
    public async Task Handler_MadeWithAContext_HasWhatTheTestGaveIt()
    {
        ManualTimeProvider time = new();
        FakeLogger logger = new();
        using JsonDocument args = JsonDocument.Parse("""{"greeting":"hello"}""");
        await using ServiceProvider services = new ServiceCollection()
            .AddKeyedSingleton("Language", new DeploymentHandle<string, string>((text, _) => new(text.Length > 2 ? "en" : "?")))
            .BuildServiceProvider();
        Greeter greeter = new(new DeploymentContext("app", "Greeter") { ReplicaId = "r7", Rank = 7, Args = args.RootElement, Time = time, Logger = logger, Services = services });

        Assert.Equal("hello, you (en) of 7", await greeter.HandleAsync("you", TestEnds));
        Assert.Equal("r7 greets", logger.Collector.LatestRecord.Message);
    }

    [Fact]
    public async Task Context_OfATestThatSaysNothing_HasDefaults()
    {
        DeploymentContext context = new("app", "Greeter");

        Assert.Equal(("app", "Greeter", "app-Greeter-0", 0), (context.Application, context.Deployment, context.ReplicaId, context.Rank));
        Assert.Equal((null, TimeProvider.System), (context.Args, context.Time));
        Assert.Equal((10, TimeSpan.FromMilliseconds(10), 1), (context.Batching.MaxBatchSize, context.Batching.BatchWaitTimeout, context.Batching.MaxConcurrentBatches));
        Assert.Contains("has no container", Assert.Throws<InvalidOperationException>(() => context.GetHandle<string, string>("Language")).Message, StringComparison.Ordinal);

        MultiplexedModels<string> models = context.CreateModels<string>((id, _) => new($"model {id}"));
        using ModelLease<string> lease = await models.GetAsync("m", TestEnds);
        Assert.Equal("model m", lease.Model);
    }

    /// <summary>A handle to the handler itself is how its model is named.</summary>
    [Fact]
    public async Task Handler_CalledThroughAHandle_ReadsTheModelAndTheSessionOfTheCall()
    {
        DeploymentHandle<string, string> handle = new(new Reads().HandleAsync);

        Assert.Equal("m s", await handle.CallAsync("", new CallOptions { ModelId = "m", SessionId = "s" }, TestEnds));
        Assert.Equal("none none", await handle.CallAsync("", TestEnds));
        Assert.Equal(["none none"], await handle.BroadcastAsync("", TestEnds));
        await Assert.ThrowsAsync<OperationCanceledException>(async () => await handle.CallAsync("", new CancellationToken(canceled: true)));
    }

    [Fact]
    public async Task Stream_OfAFunction_IsReadThroughAHandle()
    {
        DeploymentHandle<int, IAsyncEnumerable<string>> handle = new((count, token) => new(CountAsync(count, token)));
        List<string> items = [];

        await foreach (string item in handle.StreamAsync(2, new CallOptions { ModelId = "m" }, TestEnds))
        {
            items.Add($"{item} {CurrentRequest.ModelId ?? "none"}");
        }

        Assert.Equal(["0 m none", "1 m none"], items);

        static async IAsyncEnumerable<string> CountAsync(int count, [EnumeratorCancellation] CancellationToken cancellationToken)
        {
            for (int i = 0; i < count; i++)
            {
                await Task.Yield();
                cancellationToken.ThrowIfCancellationRequested();
                yield return $"{i} {CurrentRequest.ModelId}";
            }
        }
    }

    [Fact]
    public void Router_IsShownReplicasOfTheTest_RanksThem()
    {
        ReplicaView[] replicas = [new("r0", 0, 3, 4), new("r1", 1, 1, 4), new("r2", 2, 2, 4, id => id == "m")];
        int[] ranking = new int[3];

        Assert.Equal(1, new LeastBusy().Rank(new RoutedRequest { ModelId = "other" }, replicas, ranking));
        Assert.Equal(1, ranking[0]);
        Assert.Equal(1, new LeastBusy().Rank(new RoutedRequest { ModelId = "m" }, replicas, ranking));
        Assert.Equal(2, ranking[0]);
    }

    [Fact]
    public void Policy_IsToldALoadOfTheTest_Decides()
    {
        AutoscalingContext load = new()
        {
            Application = "app",
            Deployment = "D",
            CurrentReplicas = 1,
            TargetReplicas = 1,
            TotalRequests = 9,
            OngoingRequests = 4,
            QueuedRequests = 5,
            RefusedPerSecond = 0,
            TargetOngoingRequests = 2,
            MinReplicas = 1,
            MaxReplicas = 10,
            Now = DateTimeOffset.UnixEpoch,
        };
        Assert.Equal(new AutoscalingDecision(6), new OneForEachWhoWaits().Decide(load));
    }

    private static HttpRequest Asks(string text)
    {
        DefaultHttpContext context = new();
        context.Request.Path = $"/{text}";
        return context.Request;
    }

    private sealed class Chat(DeploymentHandle<string, string> model) : IDeployment<HttpRequest, string>
    {
        public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
        {
            try
            {
                return await model.CallAsync(request.Path.Value![1..], cancellationToken);
            }
            catch (BackPressureException refusal)
            {
                return $"later: {refusal.StatusCode}, {refusal.RetryAfterSeconds} s";
            }
        }
    }

    private sealed class Greeter(DeploymentContext context) : IDeployment<string, string>
    {
        private readonly DeploymentHandle<string, string> _language = context.GetHandle<string, string>("Language");

        public async ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken)
        {
            context.Logger.Log(Microsoft.Extensions.Logging.LogLevel.Information, default, context.ReplicaId, null, static (id, _) => $"{id} greets");
            return $"{context.Args!.Value.GetProperty("greeting").GetString()}, {request} ({await _language.CallAsync(request, cancellationToken)}) of {context.Rank}";
        }
    }

    private sealed class Reads : IDeployment<string, string>
    {
        public async ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken)
        {
            await Task.Yield();
            return $"{CurrentRequest.ModelId ?? "none"} {CurrentRequest.SessionId ?? "none"}";
        }
    }

    private sealed class LeastBusy : IRequestRouter
    {
        public int Rank(in RoutedRequest request, ReadOnlySpan<ReplicaView> replicas, Span<int> ranking)
        {
            int best = 0;
            for (int i = 0; i < replicas.Length; i++)
            {
                if (request.ModelId is { } model && replicas[i].HoldsModel(model))
                {
                    best = i;
                    break;
                }

                best = replicas[i].OngoingRequests < replicas[best].OngoingRequests ? i : best;
            }

            ranking[0] = best;
            return 1;
        }
    }

    private sealed class OneForEachWhoWaits : IAutoscalingPolicy
    {
        public AutoscalingDecision Decide(AutoscalingContext context) => new(context.CurrentReplicas + context.QueuedRequests);
    }
}
