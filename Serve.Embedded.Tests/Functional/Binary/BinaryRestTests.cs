using System.Net;
using System.Text;
using System.Text.Json;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Ray Serve's REST API as a program meets it at the published executable.</summary>
public sealed class BinaryRestTests
{
    private const string Applications = "/api/serve/applications/";

    [Fact]
    public async Task Put_BadBody_Is400WithEveryErrorAndItsPath()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());

        using HttpResponseMessage bad = await PutAsync(server, """
            {
              "http_options": { "port": "x" },
              "prot": 1,
              "applications": [
                { "name": "a", "import_path": "builtin:nothing" },
                { "name": "b", "route_prefix": "/b", "import_path": "builtin:slow",
                  "deployments": [{ "name": "SlowDeployment", "num_replicas": -1, "max_queued": 3, "backpressure_config": { "status_code": 200 } }] }
              ]
            }
            """);
        using HttpResponseMessage noJson = await PutAsync(server, """{ "applications": [ }""");
        using HttpResponseMessage noObject = await PutAsync(server, "[]");

        Assert.All([bad, noJson, noObject], r => Assert.Equal((HttpStatusCode.BadRequest, "application/json"), (r.StatusCode, r.Content.Headers.ContentType!.MediaType)));
        string[] errors = await ErrorsAsync(bad);
        Assert.Equal(
            [
                "2 $.http_options.port", "3 $.prot", "5 $.applications[0].import_path",
                "7 $.applications[1].deployments[0].num_replicas", "7 $.applications[1].deployments[0].max_queued", "7 $.applications[1].deployments[0].backpressure_config.status_code",
            ],
            errors.Select(e => $"{e.Split(':')[1]} {e.Split(": ")[1]}"));
        Assert.StartsWith("body:1:21: not JSON: ", Assert.Single(await ErrorsAsync(noJson)), StringComparison.Ordinal);
        Assert.StartsWith("body:1:1: $: a configuration is a table", Assert.Single(await ErrorsAsync(noObject)), StringComparison.Ordinal);
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    /// <summary>The whole declarative set is replaced; what is taken away twice is gone once.</summary>
    [Fact]
    [ContractRow(49)]
    public async Task PutAndDelete_AreTheWholeSetAndIdempotent()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow() + Toml.EchoApplication());

        using HttpResponseMessage put = await PutAsync(server, """{ "applications": [{ "name": "other", "route_prefix": "/other", "import_path": "builtin:echo" }] }""");
        await UntilAsync(server, "other");
        using HttpResponseMessage deleted = await server.Client.DeleteAsync(new Uri(server.AdminAddress, Applications), server.Deadline);
        await UntilAsync(server);
        using HttpResponseMessage again = await server.Client.DeleteAsync(new Uri(server.AdminAddress, Applications), server.Deadline);

        Assert.All([put, deleted, again], r => Assert.Equal(HttpStatusCode.OK, r.StatusCode));
        Assert.Equal("success", await server.Client.GetStringAsync("/-/healthz", server.Deadline));
        Assert.Equal("{}", await server.Client.GetStringAsync("/-/routes", server.Deadline));
    }

    [Theory]
    [InlineData("GET", "/api/serve/applications/?api_type=nothing", HttpStatusCode.BadRequest)]
    [InlineData("GET", "/api/serve/applications", HttpStatusCode.OK)]
    [InlineData("GET", "/api/serve/applications/?api_type=declarative", HttpStatusCode.OK)]
    [InlineData("GET", "/api/ray/version", HttpStatusCode.OK)]
    [InlineData("POST", "/api/v1/applications/nobody/deployments/SlowDeployment/scale", HttpStatusCode.BadRequest)]
    [InlineData("GET", "/api/serve/nothing", HttpStatusCode.NotFound)]
    public async Task Request_AnyOther_HasRaysCode(string method, string path, HttpStatusCode expected)
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());
        using HttpRequestMessage request = new(new HttpMethod(method), new Uri(server.AdminAddress, path));
        if (method == "POST")
        {
            request.Content = new StringContent("""{ "target_num_replicas": 2 }""", Encoding.UTF8, "application/json");
        }

        using HttpResponseMessage response = await server.Client.SendAsync(request, server.Deadline);

        Assert.Equal(expected, response.StatusCode);
    }

    private static async Task<HttpResponseMessage> PutAsync(ServeProcess server, string json)
    {
        using StringContent body = new(json, Encoding.UTF8, "application/json");
        return await server.Client.PutAsync(new Uri(server.AdminAddress, Applications), body, server.Deadline);
    }

    private static async Task<string[]> ErrorsAsync(HttpResponseMessage response)
    {
        using JsonDocument document = JsonDocument.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
        string[] errors = [.. document.RootElement.GetProperty("errors").EnumerateArray().Select(e => e.GetString()!)];
        Assert.Equal(string.Join('\n', errors), document.RootElement.GetProperty("error").GetString());
        return errors;
    }

    /// <summary>Until these applications run and no others.</summary>
    private static async Task UntilAsync(ServeProcess server, params string[] names)
    {
        while (true)
        {
            using JsonDocument status = JsonDocument.Parse(await server.Client.GetStringAsync(new Uri(server.AdminAddress, Applications), server.Deadline));
            if (status.RootElement.GetProperty("applications").EnumerateObject().Where(a => a.Value.GetProperty("status").GetString() == "RUNNING" || !names.Contains(a.Name)).Select(a => a.Name).SequenceEqual(names))
            {
                return;
            }

            await Task.Yield();
        }
    }
}
