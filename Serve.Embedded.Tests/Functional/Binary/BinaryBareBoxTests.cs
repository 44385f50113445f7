using System.Net;
using System.Net.Http.Headers;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>A box has the C library, and need not have more.</summary>
public sealed class BinaryBareBoxTests
{
    /// <summary>The framework's own cryptography would end the process at its first use.</summary>
    [Fact]
    public async Task NoOpenSsl_WorkersTokenDashboardAndCommands_DoWithoutIt()
    {
        using OperatorSite site = await WorkerSite.CreateAsync();
        string token = site.Write("token", "s3cret\n");
        site.Write($"[admin_options]\ntoken_file = \"{token}\"\n{WorkerSite.Config()}");
        foreach (string version in (string[])["3", "1.1", "1.0.2", "1.0.0", "10", "111"])
        {
            // The loader takes the first of this name, and cannot load it.
            site.Write($"libssl.so.{version}", "");
        }

        site.Environment["LD_LIBRARY_PATH"] = site.Folder;
        await using ServeProcess server = await site.StartAsync();
        using HttpClient admin = new() { BaseAddress = server.AdminAddress };
        using HttpResponseMessage page = await admin.GetAsync(new Uri("/", UriKind.Relative), server.Deadline);
        using HttpResponseMessage refused = await admin.GetAsync(new Uri("/metrics", UriKind.Relative), server.Deadline);
        admin.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "s3cret");
        using HttpResponseMessage taken = await admin.GetAsync(new Uri("/metrics", UriKind.Relative), server.Deadline);
        Finished deployed = await site.RunAsync(server, "deploy", site.Write("config.toml", $"[admin_options]\ntoken_file = \"{token}\"\n{WorkerSite.Config(replicas: 1)}"), "--wait", "--token-file", token);

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.Unauthorized, HttpStatusCode.OK), (page.StatusCode, refused.StatusCode, taken.StatusCode));
        Assert.True(deployed.ExitCode == 0, deployed.Error);
        Assert.EndsWith("Hello!", await server.Client.GetStringAsync("/", server.Deadline), StringComparison.Ordinal);
        server.Signal(ServeBinary.Terminate);
        Assert.Equal(0, await server.ExitAsync());
    }
}
