using System.Text.Json;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Tests.Deployments;

/// <summary>What an operator writes for the applications that every executable carries, and gets wrong.</summary>
public sealed class BuiltInApplicationsTests
{
    [Theory]
    [InlineData("""{"mesage":"x"}""", "unknown key mesage in user_config; did you mean 'message'?")]
    [InlineData("""{"other":1}""", "unknown key other in user_config; the keys are message, delay_s")]
    [InlineData("""{"delay_s":"long"}""", "user_config.delay_s: ")]
    [InlineData("null", "user_config is null. Leave it out, or write a value.")]
    public async Task Slow_UserConfigThatDoesNotFit_IsRefusedInTheWordsOfTheFile(string json, string said)
    {
        SlowDeployment slow = new(TimeProvider.System);
        using JsonDocument document = JsonDocument.Parse(json);

        Exception exception = await Assert.ThrowsAnyAsync<JsonException>(async () => await slow.ReconfigureAsync(document.RootElement, TestContext.Current.CancellationToken));

        Assert.StartsWith(said, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Faulty_ArgsThatDoNotFit_AreRefusedInTheWordsOfTheFile()
    {
        using JsonDocument document = JsonDocument.Parse("""{"fail_stat":true}""");

        Exception exception = Assert.Throws<JsonException>(() => new FaultyDeployment(new DeploymentContext("app", "Faulty") { Args = document.RootElement }));

        Assert.Equal("unknown key fail_stat in args; did you mean 'fail_start'?", exception.Message);
    }

    [Theory]
    [InlineData("builtin:slow")]
    [InlineData("builtin:echo")]
    public async Task Args_OfOneThatTakesNone_AreRefused(string path)
    {
        await using ServeHost host = Serving(path, """{"delay":1}""");

        ServeException exception = await Assert.ThrowsAsync<ServeException>(() => host.StartAsync(TestContext.Current.CancellationToken));

        Assert.Contains($"{path} takes no args: take them out.", string.Join(' ', exception.Errors), StringComparison.Ordinal);
    }

    /// <summary>Ray Serve writes an empty table wherever there is nothing to say.</summary>
    [Theory]
    [InlineData("builtin:slow")]
    [InlineData("builtin:echo")]
    public async Task Args_Empty_AreTakenByOneThatTakesNone(string path)
    {
        await using ServeHost host = Serving(path, "{}");

        await host.StartAsync(TestContext.Current.CancellationToken);
    }

    private static ServeHost Serving(string path, string args) => ServeHost.Create(serve =>
    {
        serve.Registry.AddBuiltIn();
        serve.Config = new() { Applications = [new() { ImportPath = path, Args = args }] };
        serve.WaitUntilRunning = true;
    });
}
