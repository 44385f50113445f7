using System.Net;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Config;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Functional;

/// <summary>Batches over HTTP and over handles, in a whole server.</summary>
public sealed class BatchingTests
{
    private readonly ManualTimeProvider _clock = new();

    [Fact]
    public async Task Http_RequestsAreReadBeforeTheyAreGathered_ABadOneHarmsNoOther()
    {
        await using TestServer server = await StartAsync(app => app.AddBatch<int, string>(
            "Probe",
            _ => new Batch<int>(n => $"{n}"),
            new() { MaxBatchSize = 2, BatchWaitTimeout = TimeSpan.FromHours(1) },
            fromHttp: static (request, _) => int.TryParse(request.Query["n"], out int n) ? new(n) : throw new BadHttpRequestException("n must be a number.")));

        Task<string> first = server.Client.GetStringAsync("/?n=1", TestServer.Deadline);
        using HttpResponseMessage bad = await server.Client.GetAsync("/?n=x", TestServer.Deadline);
        Task<string> second = server.Client.GetStringAsync("/?n=2", TestServer.Deadline);

        Assert.Equal(HttpStatusCode.BadRequest, bad.StatusCode);
        Assert.Equal("n must be a number.", await bad.Content.ReadAsStringAsync(TestServer.Deadline));
        Assert.Equal(["1 of 2", "2 of 2"], await Task.WhenAll(first, second));
    }

    [Fact]
    public async Task Http_RequestsThatWaitInABatch_AreOngoing()
    {
        BatchControl? batching = null;
        await using TestServer server = await StartAsync(
            app => app.AddBatch<HttpRequest, string>(
                "Probe",
                c =>
                {
                    batching = c.Batching;
                    return new Batch<HttpRequest>(_ => "");
                },
                new() { BatchWaitTimeout = TimeSpan.FromDays(1) }),
            new() { Name = "Probe", MaxOngoingRequests = 2, MaxQueuedRequests = 0 });
        Task<string>[] waiting = [server.Client.GetStringAsync("/", TestServer.Deadline), server.Client.GetStringAsync("/", TestServer.Deadline)];
        await OngoingAsync(server, 2);

        using HttpResponseMessage refused = await server.Client.GetAsync("/", TestServer.Deadline);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Contains("max_ongoing_requests = 2", await refused.Content.ReadAsStringAsync(TestServer.Deadline), StringComparison.Ordinal);

        // A request has its permit an instant before it is gathered: a batch of two waits for both, which time would not.
        batching!.MaxBatchSize = 2;
        Assert.Equal([" of 2", " of 2"], await Task.WhenAll(waiting));
    }

    [Fact]
    public async Task Http_ClientWhoWaitsInABatchTimesOut_TheOthersGoWithoutIt()
    {
        BatchControl? batching = null;
        await using TestServer server = await StartAsync(
            app => app.AddBatch<HttpRequest, string>(
                "Probe",
                c =>
                {
                    batching = c.Batching;
                    return new Batch<HttpRequest>(_ => "");
                },
                new() { BatchWaitTimeout = TimeSpan.FromDays(1) }),
            http: new() { RequestTimeout = TimeSpan.FromDays(2) });
        using HttpRequestMessage impatient = new(HttpMethod.Get, "/");
        impatient.Headers.Add("x-request-timeout-seconds", "5");
        Task<HttpResponseMessage> leaves = server.Client.SendAsync(impatient, TestServer.Deadline);
        await OngoingAsync(server, 1);
        Task<string> stays = server.Client.GetStringAsync("/", TestServer.Deadline);
        await OngoingAsync(server, 2);

        await server.PassTimeUntilAsync(leaves);
        using HttpResponseMessage timedOut = await leaves;
        Assert.Equal(HttpStatusCode.RequestTimeout, timedOut.StatusCode);
        await OngoingAsync(server, 1);
        batching!.MaxBatchSize = 1;

        Assert.Equal(" of 1", await stays);
    }

    /// <summary>Who waits in a batch of a server that ends does not wait for others who will never come.</summary>
    [Fact]
    public async Task Stop_WithABatchThatGathers_AnswersItAtOnce()
    {
        await using TestServer server = await StartAsync(
            app => app.AddBatch<HttpRequest, string>("Probe", _ => new Batch<HttpRequest>(_ => ""), new() { BatchWaitTimeout = TimeSpan.FromHours(1) }),
            new() { Name = "Probe", GracefulShutdownTimeout = TimeSpan.FromHours(1) });
        Task<string> waiting = server.Client.GetStringAsync("/", TestServer.Deadline);
        await OngoingAsync(server, 1);

        await server.ApplyAsync(new ServeConfig());

        Assert.Equal(" of 1", await waiting);
    }

    private Task<TestServer> StartAsync(Action<ApplicationBuilder> build, DeploymentConfig? deployment = null, HttpOptionsConfig? http = null) =>
        TestServer.StartAsync(new DeploymentRegistry().AddApplication("test:probe", build), Probe.Config(deployment, http), _clock);

    private static async Task OngoingAsync(TestServer server, int count)
    {
        while (server.Server.Status.Applications[0].Deployments[0].Replicas[0].Permits.Ongoing != count)
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    private sealed class Batch<TRequest>(Func<TRequest, string> answer) : IBatchDeployment<TRequest, string>
    {
        public ValueTask<IReadOnlyList<string>> HandleBatchAsync(IReadOnlyList<TRequest> batch, CancellationToken cancellationToken) =>
            new([.. batch.Select(request => $"{answer(request)} of {batch.Count}")]);
    }
}
