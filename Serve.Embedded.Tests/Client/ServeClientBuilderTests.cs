using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Client;

public sealed class ServeClientBuilderTests
{
    private readonly ManualTimeProvider _time = new();

    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    [Fact]
    public async Task AddServeClient_Twice_AddsToTheOptionsAndRetriesOnce()
    {
        ScriptedServer server = new(_time, ScriptedServer.Answer(HttpStatusCode.BadGateway));
        ServiceCollection services = Services(server, "a");
        services.AddHttpClient("a").AddServeClient(static o => o.MaxRetries = 1).AddServeClient(static o => o.RetryBurst = 7);
        await using ServiceProvider provider = services.BuildServiceProvider();
        ServeClientOptions options = provider.GetRequiredService<IOptionsMonitor<ServeClientOptions>>().Get("a");

        await CallAsync(provider, "a");

        Assert.Equal((1, 7), (options.MaxRetries, options.RetryBurst));
        Assert.Equal(2, server.At.Count);
    }

    /// <summary>The factory makes new handlers all the time; the budget must not be new with each.</summary>
    [Fact]
    public async Task AddServeClient_HandlersOfOneName_ShareTheirBudgetAndNoOther()
    {
        ScriptedServer server = new(_time, ScriptedServer.Answer(HttpStatusCode.BadGateway));
        ServiceCollection services = Services(server, "a", "b");
        foreach (string name in (string[])["a", "b"])
        {
            services.AddHttpClient(name).AddServeClient(static o => (o.RetryBurst, o.RetryRatio, o.RetriesPerSecond) = (2, 0, 0));
        }

        await using ServiceProvider provider = services.BuildServiceProvider();
        IHttpMessageHandlerFactory factory = provider.GetRequiredService<IHttpMessageHandlerFactory>();
        Assert.NotSame(factory.CreateHandler("a"), factory.CreateHandler("b"));

        await CallAsync(provider, "a");
        Assert.Equal(3, server.At.Count);
        await using (AsyncServiceScope scope = provider.CreateAsyncScope())
        {
            using HttpMessageInvoker another = new(new ServeClientHandler(
                new(), scope.ServiceProvider.GetRequiredKeyedService<Serve.Embedded.Client.RetryBudget>("a"), _time, new ChosenRandom(0.5)) { InnerHandler = server });
            using HttpRequestMessage request = new(HttpMethod.Get, "http://model");
            (await another.SendAsync(request, TestEnds)).Dispose();
            Assert.Equal(4, server.At.Count);
        }

        await CallAsync(provider, "b");
        Assert.Equal(7, server.At.Count);
    }

    [Fact]
    public async Task AddServeClient_WrongOptions_FailTheStartAndNameTheClient()
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddHttpClient("model").AddServeClient(static o => o.MaxRetries = -1);
        using IHost host = builder.Build();

        OptionsValidationException thrown = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync(TestEnds));

        Assert.Equal("Client 'model': MaxRetries must be from 0 to 20, not -1.", thrown.Message);
    }

    [Fact]
    public void AddServeClient_ForAllClientsAtOnce_IsRefusedWithTheWayOut() =>
        Assert.Contains("AddHttpClient", Assert.Throws<ArgumentException>(() => new ServiceCollection().ConfigureHttpClientDefaults(static b => b.AddServeClient())).Message, StringComparison.Ordinal);

    private ServiceCollection Services(ScriptedServer server, params string[] names)
    {
        ServiceCollection services = new();
        services.AddSingleton<TimeProvider>(_time);
        foreach (string name in names)
        {
            services.AddHttpClient(name, static c => c.BaseAddress = new("http://model")).ConfigurePrimaryHttpMessageHandler(() => server);
        }

        return services;
    }

    private async Task CallAsync(ServiceProvider provider, string name)
    {
        using HttpClient client = provider.GetRequiredService<IHttpClientFactory>().CreateClient(name);
        Task<HttpResponseMessage> call = client.GetAsync("/", TestEnds);
        while (!call.IsCompleted)
        {
            TestEnds.ThrowIfCancellationRequested();
            _time.Advance(TimeSpan.FromMilliseconds(50));
            await Task.Yield();
        }

        (await call).Dispose();
    }
}
