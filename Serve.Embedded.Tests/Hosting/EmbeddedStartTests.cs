using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;

namespace Serve.Embedded.Tests.Hosting;

/// <summary>A host does not wait for what its configuration has to import. A shell stands for the interpreter, and imports nothing until a file is there.</summary>
public sealed class EmbeddedStartTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("serve-start").FullName;

    private static CancellationToken Deadline => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task StartAsync_PythonIsBeingImported_ServesWhatIsUpAndIsNotReady()
    {
        await using WebApplication host = Host(serve => serve.AddApplication("code", "/code", app => app.Add<HttpRequest, string>("Front", _ => new Says())));
        await host.StartAsync(Deadline);
        using HttpClient client = new() { BaseAddress = new(host.Urls.First()) };
        ServeHost serve = host.Services.GetRequiredService<ServeHost>();

        Assert.Equal("up", await client.GetStringAsync("/code", Deadline));
        Task<HttpResponseMessage> early = client.GetAsync("/py", Deadline);
        await UntilAsync(() => serve.Status.Applications.Single(a => a.Name == "py").Deployments[0].QueuedRequests == 1);
        HealthReportEntry meanwhile = await HealthAsync(host);
        await File.WriteAllTextAsync(Path.Combine(_folder, "go"), "", Deadline);
        using HttpResponseMessage answer = await early;

        Assert.Equal(HealthStatus.Unhealthy, meanwhile.Status);
        Assert.Contains("python:model.Model is being imported", meanwhile.Description, StringComparison.Ordinal);
        // What was imported does not come up: who waited for it is told so, and not before.
        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.Contains("'Declared' of application 'py' is unavailable", await answer.Content.ReadAsStringAsync(Deadline), StringComparison.Ordinal);
        await UntilAsync(() => serve.Status.Applications.Single(a => a.Name == "py").Status == ApplicationStatus.DeployFailed);
        Assert.DoesNotContain("is being imported", (await HealthAsync(host)).Description, StringComparison.Ordinal);
        await host.StopAsync(Deadline);
    }

    [Fact]
    public async Task StopAsync_PythonIsBeingImported_DoesNotWaitForIt()
    {
        await using WebApplication host = Host(_ => { });
        await host.StartAsync(Deadline);
        ServeHost serve = host.Services.GetRequiredService<ServeHost>();
        await UntilAsync(() => File.Exists(Path.Combine(_folder, "asked")));

        await host.StopAsync(Deadline);

        Assert.False(serve.IsRunning);
    }

    [Fact]
    public async Task StartAsync_WaitUntilRunning_WaitsForTheImportAndFailsWithItsReason()
    {
        await File.WriteAllTextAsync(Path.Combine(_folder, "go"), "", Deadline);
        await using WebApplication host = Host(serve => serve.WaitUntilRunning = true);

        ServeException failure = await Assert.ThrowsAsync<ServeException>(() => host.StartAsync(Deadline));

        Assert.Contains("The worker ended before it answered", Assert.Single(failure.Errors), StringComparison.Ordinal);
    }

    private static async Task<HealthReportEntry> HealthAsync(WebApplication host) =>
        (await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(Deadline)).Entries.Single().Value;

    private static async Task UntilAsync(Func<bool> isSo)
    {
        while (!isSo())
        {
            Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    private WebApplication Host(Action<ServeOptions> configure)
    {
        string python = Path.Combine(_folder, "python");
        File.WriteAllText(
            python,
            $$"""
            #!/bin/sh
            [ "$2" = import ] || exit 1
            : > '{{_folder}}/asked'
            while [ ! -e '{{_folder}}/go' ]; do sleep 0.02; done
            printf '%s' '{"deployments": [{"name": "Declared", "options": {}, "has_reconfigure": false}]}' > "$5"
            """);
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(python, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddServe(serve =>
        {
            configure(serve);
            serve.Config = new()
            {
                Applications =
                [
                    new()
                    {
                        Name = "py",
                        RoutePrefix = "/py",
                        ImportPath = "python:model.Model",
                        Python = python,
                        RuntimeEnv = new() { WorkingDir = _folder },
                        Deployments = [new() { Name = "Declared", MaxConstructorRetryCount = 1 }],
                    },
                ],
            };
        });
        builder.Services.AddHealthChecks().AddServe();
        WebApplication host = builder.Build();
        host.MapServe();
        return host;
    }

    private sealed class Says : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new("up");
    }
}
