using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Functional.Binary;
using Serve.Embedded.Tests.Functional.Conformance.Subject;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>A server in one of its forms with the subject's applications, known by its two addresses alone: it is deployed to, watched and called over HTTP.</summary>
internal sealed class ConformanceSite : IAsyncDisposable
{
    private const string Variable = "SERVE_CONFORMANCE_BINARY";
    private const string Project = "Serve.Embedded.Tests/Functional/Conformance/Subject";

    private readonly Func<ValueTask> _end;
    private readonly HttpClient _admin;

    private ConformanceSite(Uri address, Uri admin, Func<ValueTask> end)
    {
        Address = address;
        _end = end;
        Client = NewClient(address);
        _admin = NewClient(admin);
    }

    public static CancellationToken Deadline => TestContext.Current.CancellationToken;

    public Uri Address { get; }

    public HttpClient Client { get; }

    public static async Task<ConformanceSite> StartAsync(SiteForm form, params string[] applications)
    {
        ConformanceSite site = form switch
        {
            SiteForm.Port => await PortAsync(),
            SiteForm.Embedded => await EmbeddedAsync(),
            _ => await BinaryAsync(),
        };
        try
        {
            Assert.Equal("good", await site.DeployAsync(applications));
            return site;
        }
        catch
        {
            await site.DisposeAsync();
            throw;
        }
    }

    /// <summary>An application, as JSON.</summary>
    /// <param name="importPath">What comes after <c>subject:</c>.</param>
    /// <param name="deployment">A deployment's keys, its name among them.</param>
    /// <param name="more">More keys of the application.</param>
    public static string App(string importPath, string? deployment = null, string prefix = "/", string name = "app", string more = "") =>
        $$"""{"name":"{{name}}","route_prefix":"{{prefix}}","import_path":"subject:{{importPath}}","deployments":[{{(deployment is null ? "" : $"{{{deployment}}}")}}]{{(more.Length > 0 ? "," : "")}}{{more}}}""";

    /// <summary>Makes these applications, and the board, the goal, and waits until it is known how that ended: <c>good</c> or <c>failed</c>.</summary>
    public async Task<string> DeployAsync(params string[] applications)
    {
        int generation = await SendAsync(applications);
        while (true)
        {
            using JsonDocument now = JsonDocument.Parse(await _admin.GetStringAsync($"api/serve/generations/{generation}", Deadline));
            if (now.RootElement.GetProperty("outcome").GetString() is { } outcome and not "pending")
            {
                return outcome;
            }

            await Task.Yield();
        }
    }

    /// <summary>Makes them the goal; returns the number of its generation.</summary>
    public async Task<int> SendAsync(params string[] applications)
    {
        string all = string.Join(',', applications.Prepend(App("board", prefix: "/-board", name: "board")));
        using StringContent body = new($$"""{"applications":[{{all}}]}""", Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await _admin.PutAsync("api/serve/applications/", body, Deadline);
        string said = await response.Content.ReadAsStringAsync(Deadline);
        Assert.True(response.StatusCode == HttpStatusCode.OK, said);
        using JsonDocument accepted = JsonDocument.Parse(said);
        return accepted.RootElement.GetProperty("generation").GetInt32();
    }

    public async Task HeardAsync(string what) => await BoardAsync($"heard/{what}");

    public async Task ReleaseAsync(string name) => await BoardAsync($"release/{name}");

    /// <summary>All that handlers have told the board, in order.</summary>
    public async Task<IReadOnlyList<string>> EventsAsync() => (await BoardAsync("events")).Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Until a deployment of <c>app</c> has so many requests that wait. Their arrival is on the wire, so somebody has to look.</summary>
    public Task QueuedAsync(int count, string deployment = "Probe") => CountAsync("queued", count, deployment);

    public Task OngoingAsync(int count, string deployment = "Probe") => CountAsync("ongoing", count, deployment);

    /// <summary>What the server says of an application.</summary>
    public async Task<JsonElement> StatusAsync(string application = "app")
    {
        using JsonDocument status = JsonDocument.Parse(await _admin.GetStringAsync("api/serve/applications/?view=full", Deadline));
        return status.RootElement.GetProperty("applications").GetProperty(application).Clone();
    }

    /// <summary>The replicas of a deployment of <c>app</c>, in the order in which they were made.</summary>
    public async Task<IReadOnlyList<(string Id, string State)>> ReplicasAsync(string deployment) =>
    [
        .. (await StatusAsync()).GetProperty("deployments").GetProperty(deployment).GetProperty("replicas").EnumerateArray()
            .Select(r => (r.GetProperty("replica_id").GetString()!, r.GetProperty("state").GetString()!)),
    ];

    /// <summary>What comes back for a request, its body read; <paramref name="client"/> is how its client leaves.</summary>
    public async Task<Answer> AskAsync(string path, CancellationTokenSource? client = null, params (string Name, string Value)[] headers)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, path);
        foreach ((string name, string value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return await AskAsync(request, client);
    }

    public async Task<Answer> AskAsync(HttpRequestMessage request, CancellationTokenSource? client = null)
    {
        using CancellationTokenSource both = CancellationTokenSource.CreateLinkedTokenSource(client?.Token ?? default, Deadline);
        using HttpResponseMessage response = await Client.SendAsync(request, both.Token);
        return new(response.StatusCode, await response.Content.ReadAsStringAsync(both.Token), response.Headers, response.Content.Headers.ContentType?.ToString());
    }

    public async Task<RawConnection> ConnectAsync()
    {
        System.Net.Sockets.Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(Address.Host, Address.Port, Deadline);
        return new(socket);
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        _admin.Dispose();
        await _end();
    }

    private static async Task<ConformanceSite> PortAsync()
    {
        TestServer server = await TestServer.StartAsync(SubjectApplications.Register(), new());
        return new(server.Address, new(server.Server.AdminAddresses[0]), server.DisposeAsync);
    }

    private static async Task<ConformanceSite> EmbeddedAsync()
    {
        TestServer server = await TestServer.EmbedAsync(SubjectApplications.Register(), new(), map: app =>
        {
            app.MapServe();
            app.MapServeAdmin("/-admin");
        });
        return new(server.Address, new(server.Address, "/-admin/"), server.DisposeAsync);
    }

    private static async Task<ConformanceSite> BinaryAsync()
    {
        string? program = Environment.GetEnvironmentVariable(Variable);
        Assert.SkipWhen(
            string.IsNullOrEmpty(program),
            $"{Variable} does not name the published subject. Publish it with dotnet publish {Project} -c Release -o {Project}/dist and set {Variable}=$PWD/{Project}/dist/subject.");
        OperatorSite folder = new("", Path.GetFullPath(program!));
        ServeProcess server = await folder.CommandAsync("start");
        return new(server.Address, server.AdminAddress, async () =>
        {
            await server.DisposeAsync();
            folder.Dispose();
        });
    }

    private static HttpClient NewClient(Uri address) => new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { BaseAddress = address };

    private Task<string> BoardAsync(string path) => Client.GetStringAsync($"/-board/{path}", Deadline);

    private async Task CountAsync(string what, int count, string deployment)
    {
        while (true)
        {
            JsonElement status = await StatusAsync();
            if (status.GetProperty("deployments").GetProperty(deployment).GetProperty("requests").GetProperty(what).GetInt32() == count)
            {
                return;
            }

            await Task.Yield();
        }
    }
}

/// <summary>A response as a client sees it.</summary>
internal sealed record Answer(HttpStatusCode Status, string Body, System.Net.Http.Headers.HttpResponseHeaders Headers, string? ContentType)
{
    public string? Header(string name) => Headers.TryGetValues(name, out IEnumerable<string>? values) ? Assert.Single(values) : null;
}
