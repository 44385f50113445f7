using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Tests.Deployments;

/// <summary>Handlers that take <c>user_config</c> as a type of their own.</summary>
public sealed class ReconfigurableTests
{
    private static CancellationToken Deadline => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Reconfigure_ValueOfItsType_IsTaken()
    {
        await using ServeHost host = Create("""{ "greeting": "Good day" }""");
        await host.StartAsync(Deadline);

        Assert.Equal("Good day", await host.GetHandle<int, string>("app", "Greeter").CallAsync(1, Deadline));
    }

    [Theory]
    [InlineData("""{ "greting": "Hi" }""", "greting")]
    [InlineData("""{ "greeting": 1 }""", "$.greeting")]
    [InlineData("null", "user_config is null")]
    public async Task Reconfigure_ValueOfAnotherType_IsRefusedByName(string userConfig, string named)
    {
        await using ServeHost host = Create(userConfig);

        ServeException failure = await Assert.ThrowsAsync<ServeException>(() => host.StartAsync(Deadline));

        Assert.Contains(named, Assert.Single(failure.Errors), StringComparison.Ordinal);
    }

    private static ServeHost Create(string userConfig) => ServeHost.Create(serve =>
    {
        serve.WaitUntilRunning = true;
        serve.AddApplication("app", routePrefix: null, app => app
            .Add<HttpRequest, string>("Front", _ => new Front())
            .Add<Greeter, int, string>("Greeter", new() { MaxConstructorRetryCount = 1, UserConfig = userConfig }));
    });

    private sealed class Front : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new("front");
    }

    private sealed class Greeter : IDeployment<int, string>, IReconfigurable<GreeterSettings>
    {
        private GreeterSettings _settings = new();

        public JsonTypeInfo<GreeterSettings> UserConfigJson => GreeterJson.Default.GreeterSettings;

        public ValueTask<string> HandleAsync(int request, CancellationToken cancellationToken) => new(Volatile.Read(ref _settings).Greeting);

        public ValueTask ReconfigureAsync(GreeterSettings userConfig, CancellationToken cancellationToken)
        {
            Volatile.Write(ref _settings, userConfig);
            return ValueTask.CompletedTask;
        }
    }
}

internal sealed record GreeterSettings
{
    public string Greeting { get; set; } = "Hello";
}

[JsonSerializable(typeof(GreeterSettings))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
internal sealed partial class GreeterJson : JsonSerializerContext;
