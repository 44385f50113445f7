using System.Net;

namespace Serve.Embedded.Tests.Functional.Binary;

public sealed class BinaryAdminAccessTests
{
    [Fact]
    public async Task Token_IsAskedForAndTakenFromAFile()
    {
        using OperatorSite site = new(string.Empty);
        string token = site.Write("token", "s3cret\n");
        string wrong = site.Write("wrong", "other\n");
        site.Write($"[admin_options]\ntoken_file = \"{token}\"\n{Toml.Slow()}");
        await using ServeProcess server = await site.StartAsync();
        using HttpResponseMessage bare = await server.Client.GetAsync(new Uri(server.AdminAddress, "/api/serve/applications/"), server.Deadline);

        Finished without = await site.RunAsync(server, "status");
        Finished mistaken = await site.RunAsync(server, "shutdown", "--token-file", wrong);
        Finished with = await site.RunAsync(server, "status", "--token-file", token);

        Assert.Equal(HttpStatusCode.Unauthorized, bare.StatusCode);
        Assert.Equal("Bearer", bare.Headers.WwwAuthenticate.ToString());
        Assert.Equal((1, 1, 0), (without.ExitCode, mistaken.ExitCode, with.ExitCode));
        Assert.Contains("--token-file", without.Error, StringComparison.Ordinal);
        Assert.Contains("HEALTHY", with.Out, StringComparison.Ordinal);
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
        Assert.DoesNotContain(server.Lines, l => l.Contains("s3cret", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(null, "cannot be read")]
    [InlineData(" \n", "is empty")]
    public async Task TokenFile_MissingOrEmpty_DoesNotStartAnOpenServer(string? text, string said)
    {
        using OperatorSite site = new(string.Empty);
        string token = text is null ? Path.Combine(site.Folder, "token") : site.Write("token", text);
        site.Write($"[admin_options]\ntoken_file = \"{token}\"\n{Toml.Slow()}");

        Finished run = await ServeBinary.RunAsync(new Invocation { Arguments = ["run", site.ConfigPath, "--port", "0", "--admin-port", "0"], Directory = site.Folder, Environment = site.Environment });

        Assert.Equal(1, run.ExitCode);
        Assert.Contains($"admin_options.token_file = \"{token}\" {said}", run.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("Unhandled", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GET", "evil.example", null, HttpStatusCode.Forbidden)]
    [InlineData("GET", "ops.example:99", null, HttpStatusCode.OK)]
    [InlineData("GET", "localhost", null, HttpStatusCode.OK)]
    [InlineData("GET", "localhost", "http://evil.example", HttpStatusCode.OK)]
    [InlineData("DELETE", "localhost", "http://evil.example", HttpStatusCode.Forbidden)]
    [InlineData("DELETE", "localhost", "null", HttpStatusCode.Forbidden)]
    [InlineData("DELETE", "evil.example", null, HttpStatusCode.Forbidden)]
    [InlineData("DELETE", "localhost", "http://localhost", HttpStatusCode.OK)]
    public async Task Request_ForeignNameOrPage_IsRefused(string method, string host, string? origin, HttpStatusCode expected)
    {
        using OperatorSite site = new($"[admin_options]\nallowed_hosts = [\"ops.example\"]\n{Toml.Slow()}");
        await using ServeProcess server = await site.StartAsync();
        using HttpRequestMessage request = new(new(method), new Uri(server.AdminAddress, "/api/serve/applications/"));
        request.Headers.Host = host;
        if (origin is not null)
        {
            request.Headers.Add("Origin", origin);
        }

        using HttpResponseMessage response = await server.Client.SendAsync(request, server.Deadline);

        Assert.Equal(expected, response.StatusCode);
        if (expected == HttpStatusCode.Forbidden)
        {
            Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
        }
    }
}
