using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Admin;

/// <summary>The dashboard's files over real sockets: what they are answered with, under which paths, and to whom. What they do in a browser is tested with the published executable.</summary>
public sealed class DashboardTests
{
    private const string Token = "s3cret";

    [Theory]
    [InlineData("/", "text/html")]
    [InlineData("/dashboard.css", "text/css")]
    [InlineData("/dashboard.js", "text/javascript")]
    [InlineData("/dashboard.svg", "image/svg+xml")]
    public async Task Get_File_HasItsTypeAndLetsNothingElseIn(string path, string type)
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        using HttpResponseMessage response = await admin.GetAsync(path, TestServer.Deadline);

        Assert.Equal((HttpStatusCode.OK, type), (response.StatusCode, response.Content.Headers.ContentType!.MediaType));
        Dictionary<string, string> policy = PolicyOf(response);
        Assert.Equal(("'none'", "'self'", "'self'", "'none'"), (policy["default-src"], policy["script-src"], policy["style-src"], policy["frame-ancestors"]));
        Assert.DoesNotContain("unsafe", string.Join(' ', policy.Values), StringComparison.Ordinal);
        Assert.Equal("nosniff", Assert.Single(response.Headers.GetValues("X-Content-Type-Options")));
        Assert.Equal("no-referrer", Assert.Single(response.Headers.GetValues("Referrer-Policy")));
        Assert.True(response.Headers.CacheControl!.NoCache);
    }

    [Fact]
    public async Task Get_WithTheTagOfBefore_Is304WithoutABody()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);
        using HttpResponseMessage first = await admin.GetAsync("/dashboard.js", TestServer.Deadline);

        using HttpResponseMessage same = await GetAsync(admin, "/dashboard.js", $"\"other\", {first.Headers.ETag}");
        using HttpResponseMessage other = await GetAsync(admin, "/dashboard.css", first.Headers.ETag!.ToString());

        Assert.Equal((HttpStatusCode.NotModified, first.Headers.ETag), (same.StatusCode, same.Headers.ETag));
        Assert.Empty(await same.Content.ReadAsByteArrayAsync(TestServer.Deadline));
        Assert.Equal(HttpStatusCode.OK, other.StatusCode);
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/dashboard.js")]
    public async Task Head_File_IsGetWithoutTheBody(string path)
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);
        using HttpRequestMessage request = new(HttpMethod.Head, path);

        using HttpResponseMessage head = await admin.SendAsync(request, TestServer.Deadline);
        using HttpResponseMessage get = await admin.GetAsync(path, TestServer.Deadline);

        Assert.Equal(HttpStatusCode.OK, head.StatusCode);
        Assert.Equal(get.Headers.ETag, head.Headers.ETag);
        Assert.Equal((await get.Content.ReadAsByteArrayAsync(TestServer.Deadline)).Length, head.Content.Headers.ContentLength);
        Assert.Empty(await head.Content.ReadAsByteArrayAsync(TestServer.Deadline));
    }

    [Theory]
    [InlineData("POST", "/")]
    [InlineData("PUT", "/dashboard.js")]
    [InlineData("DELETE", "/")]
    public async Task OtherMethod_File_Is405AndNamesThoseThereAre(string method, string path)
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);
        using HttpRequestMessage request = new(new(method), path);

        using HttpResponseMessage response = await admin.SendAsync(request, TestServer.Deadline);

        Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
        Assert.Equal(["GET", "HEAD"], response.Content.Headers.Allow.Order());
    }

    [Theory]
    [InlineData("/dashboard.html")]
    [InlineData("/dashboard.js.map")]
    [InlineData("/dashboard")]
    public async Task Get_UnknownFile_Is404(string path)
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        using HttpResponseMessage response = await admin.GetAsync(path, TestServer.Deadline);

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
    }

    /// <summary>Whoever has no token sees the page, and nothing of the server in it.</summary>
    [Fact]
    public async Task TokenFile_WithoutTheToken_ThePageLoadsAndEveryDatumIsRefused()
    {
        await using TestServer server = await StartAsync(withToken: true);
        using HttpClient admin = ClientOf(server);

        string[] files = [.. await Task.WhenAll(((string[])["/", "/dashboard.css", "/dashboard.js"]).Select(p => admin.GetStringAsync(p, TestServer.Deadline)))];
        foreach (string path in (string[])["/api/serve/applications/?view=full", "/api/serve/generations/", "/api/serve/config?diff=running", "/dashboard.map", "/dashboard.js/x"])
        {
            using HttpResponseMessage response = await admin.GetAsync(path, TestServer.Deadline);
            Assert.Equal((path, HttpStatusCode.Unauthorized, "Bearer"), (path, response.StatusCode, response.Headers.WwwAuthenticate.ToString()));
        }

        admin.DefaultRequestHeaders.Authorization = new("Bearer", Token);
        Assert.Contains("hidden-application", await admin.GetStringAsync("/api/serve/applications/?view=full", TestServer.Deadline), StringComparison.Ordinal);
        Assert.All(files, f =>
        {
            Assert.DoesNotContain(Token, f, StringComparison.Ordinal);
            Assert.DoesNotContain("hidden-application", f, StringComparison.Ordinal);
        });
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/dashboard.js")]
    public async Task Get_UnderAnotherName_Is403(string path)
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);
        using HttpRequestMessage request = new(HttpMethod.Get, path);
        request.Headers.Host = "evil.example";

        using HttpResponseMessage response = await admin.SendAsync(request, TestServer.Deadline);

        Assert.Equal(HttpStatusCode.Forbidden, response.StatusCode);
    }

    /// <summary>What the page asks for is below the path that it has itself, wherever a host has put it.</summary>
    [Theory]
    [InlineData("/serve-admin", "", "/serve-admin")]
    [InlineData("/serve-admin/", "", "/serve-admin")]
    [InlineData("/ops/serve", "", "/ops/serve")]
    [InlineData("/{team}/serve", "", "/a%3Ab/serve")]
    [InlineData("/at/{team}", "", "/at/javascript:x")]
    [InlineData("/serve-admin", "/base", "/base/serve-admin")]
    [InlineData("", "/base", "/base")]
    public async Task MapServeAdmin_AnyPrefix_ThePageIsAtItsSlashAndItsFilesBelow(string prefix, string pathBase, string at)
    {
        await using TestServer server = await TestServer.EmbedAsync(new DeploymentRegistry().AddBuiltIn(), Config(), map: app =>
        {
            app.UsePathBase(pathBase);
            app.UseRouting();
            app.MapServe("/ml");
            app.MapServeAdmin(prefix);
        });

        using HttpResponseMessage bare = await server.Client.GetAsync(at, TestServer.Deadline);
        Uri page = new(new Uri(server.Address, at), bare.Headers.Location!);
        string html = await server.Client.GetStringAsync(page, TestServer.Deadline);

        Assert.Equal(HttpStatusCode.TemporaryRedirect, bare.StatusCode);
        Assert.Equal(new Uri(server.Address, at + "/").AbsoluteUri, page.AbsoluteUri);
        foreach (string asked in (string[])["dashboard.css", "dashboard.js", "dashboard.svg"])
        {
            Assert.Contains($"\"{asked}\"", html, StringComparison.Ordinal);
            Assert.Equal(HttpStatusCode.OK, (await server.Client.GetAsync(new Uri(page, asked), TestServer.Deadline)).StatusCode);
        }

        Assert.Contains("hidden-application", await server.Client.GetStringAsync(new Uri(page, "api/serve/applications/?view=full"), TestServer.Deadline), StringComparison.Ordinal);
    }

    [Fact]
    public async Task MapServeAdmin_RequireAuthorization_CoversThePageToo()
    {
        await using TestServer server = await TestServer.EmbedAsync(
            new DeploymentRegistry().AddBuiltIn(),
            Config(),
            build: builder =>
            {
                builder.Services.AddAuthentication("key").AddScheme<AuthenticationSchemeOptions, EmbeddingTests.KeyScheme>("key", null);
                builder.Services.AddAuthorization();
            },
            map: app =>
            {
                app.UseAuthentication();
                app.UseAuthorization();
                app.MapServeAdmin("/serve-admin").RequireAuthorization();
            });

        foreach (string path in (string[])["/serve-admin", "/serve-admin/", "/serve-admin/dashboard.js", "/serve-admin/dashboard.css"])
        {
            using HttpResponseMessage stranger = await server.Client.GetAsync(path, TestServer.Deadline);
            Assert.Equal((path, HttpStatusCode.Unauthorized), (path, stranger.StatusCode));
        }

        server.Client.DefaultRequestHeaders.Add("X-Api-Key", "secret");
        Assert.Contains("<title>Serve</title>", await server.Client.GetStringAsync("/serve-admin/", TestServer.Deadline), StringComparison.Ordinal);
    }

    /// <summary>A host that has a page of its own where the admin API is mapped keeps it.</summary>
    [Fact]
    public async Task MapServeAdmin_WhereTheHostHasAPage_TheHostsIsShown()
    {
        await using TestServer server = await TestServer.EmbedAsync(new DeploymentRegistry().AddBuiltIn(), Config(), map: app =>
        {
            app.MapServeAdmin("");
            app.MapGet("/", () => "the host's");
        });

        Assert.Equal("the host's", await server.Client.GetStringAsync("/", TestServer.Deadline));
    }

    [Fact]
    public async Task MapServeAdmin_TokenFile_ThePageLoadsWithoutItAndTheDataDoNot()
    {
        using TempFolder folder = new();
        await using TestServer server = await TestServer.EmbedAsync(new DeploymentRegistry().AddBuiltIn(), Config(folder.Write("token", Token)), map: app => app.MapServeAdmin("/serve-admin"));

        using HttpResponseMessage page = await server.Client.GetAsync("/serve-admin/", TestServer.Deadline);
        using HttpResponseMessage data = await server.Client.GetAsync("/serve-admin/api/serve/applications/?view=full", TestServer.Deadline);

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.Unauthorized), (page.StatusCode, data.StatusCode));
    }

    /// <summary>What the page is made from, beside Ray's shape.</summary>
    [Fact]
    public async Task Applications_FullView_HasWhatTheDashboardShows()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        using JsonDocument details = JsonDocument.Parse(await admin.GetStringAsync("/api/serve/applications/?view=full", TestServer.Deadline));

        JsonElement told = details.RootElement.GetProperty("server");
        Assert.Matches(@"^\d+\.\d+\.\d+$", told.GetProperty("version").GetString());
        Assert.True(told.GetProperty("now_s").GetDouble() >= told.GetProperty("start_time_s").GetDouble());
        JsonElement box = details.RootElement.GetProperty("box");
        Assert.Equal((0.5, 8), (box.GetProperty("cpus").GetProperty("taken").GetDouble(), box.GetProperty("cpus").GetProperty("limit").GetDouble()));
        Assert.Equal((1, JsonValueKind.Null), (box.GetProperty("replicas").GetProperty("taken").GetInt32(), box.GetProperty("replicas").GetProperty("limit").ValueKind));
        JsonElement deployment = details.RootElement.GetProperty("applications").GetProperty("hidden-application").GetProperty("deployments").GetProperty("Echo");
        Assert.Equal(0, deployment.GetProperty("restarts").GetInt32());
        Assert.Equal(["queue_full", "queue_time", "websockets", "unavailable"], deployment.GetProperty("requests").GetProperty("refused").EnumerateObject().Select(p => p.Name));
        Assert.False(deployment.GetProperty("replicas")[0].TryGetProperty("rss_bytes", out _));
    }

    private static async Task<TestServer> StartAsync(bool withToken = false)
    {
        // It is read when the server is made.
        using TempFolder folder = new();
        return await TestServer.StartAsync(new DeploymentRegistry().AddBuiltIn(), Config(withToken ? folder.Write("token", Token) : null));
    }

    private static ServeConfig Config(string? tokenFile = null) => new()
    {
        Admin = new() { TokenFile = tokenFile },
        Box = new() { Cpus = 8 },
        Applications = [new() { Name = "hidden-application", RoutePrefix = "/", ImportPath = "builtin:echo", Deployments = [new() { Name = "Echo", NumCpus = 0.5 }] }],
    };

    private static HttpClient ClientOf(TestServer server) => new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { BaseAddress = new(server.Server.AdminAddresses[0]) };

    private static Task<HttpResponseMessage> GetAsync(HttpClient client, string path, string ifNoneMatch)
    {
        HttpRequestMessage request = new(HttpMethod.Get, path);
        request.Headers.TryAddWithoutValidation("If-None-Match", ifNoneMatch);
        return client.SendAsync(request, TestServer.Deadline);
    }

    private static Dictionary<string, string> PolicyOf(HttpResponseMessage response) => Assert.Single(response.Headers.GetValues("Content-Security-Policy"))
        .Split(';', StringSplitOptions.TrimEntries)
        .Select(d => d.Split(' ', 2))
        .ToDictionary(d => d[0], d => d[1]);
}
