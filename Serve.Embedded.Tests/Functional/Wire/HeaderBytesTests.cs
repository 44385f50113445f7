using System.Text;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>Header values beyond ASCII: between a client and a worker they stay the bytes that they are; a handler reads and writes them as UTF-8.</summary>
public sealed class HeaderBytesTests
{
    /// <summary>In Latin-1, in UTF-8, and in neither.</summary>
    private const string Values = "A: \u00e9\u00e8\r\nB: \u00c3\u00a9\u00e6\u00bc\u00a2\r\nC: \u00ff\u00fe \u00c3\r\n";

    /// <summary>A request is plain only without such headers; its response may have them.</summary>
    [Theory]
    [InlineData(true, "")]
    [InlineData(false, Road.Long)]
    [InlineData(false, Values)]
    public async Task Worker_HeadersBeyondAscii_GoBothWaysAsTheyAre(bool plain, string headers)
    {
        string? head = null;
        await using ScriptedWorker worker = new(async side =>
        {
            head = await side.ReadHeadAsync();
            await side.SendAsync($"HTTP/1.1 200 Pr\u00e9t\r\n{Values}Content-Length: 2\r\n\r\nok");
        });
        await using TestServer server = await WorkerInTest.StartAsync(worker);
        using RawConnection client = await server.ConnectAsync(Encoding.Latin1);
        string request = $"GET / HTTP/1.1\r\nHost: a\r\n{headers}Connection: close\r\n\r\n";
        Assert.Equal(plain, new PlainRequest().TryRead(Encoding.Latin1.GetBytes(request), out _));

        await client.SendAsync(request);
        string response = await client.ReadToEndAsync();

        Assert.Contains(headers, head, StringComparison.Ordinal);
        Assert.Contains(Values, response, StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", response, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\nok", response, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Handler_HeadersBeyondAscii_AreUtf8()
    {
        string? read = null;
        await using TestServer server = await TestServer.StartAsync(
            new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Handler(context =>
            {
                read = context.Request.Headers["B"];
                context.Response.Headers["B"] = read;
                context.Response.Headers["C"] = context.Request.Headers["C"];
            }))),
            Probe.Config());
        using RawConnection client = await server.ConnectAsync(Encoding.Latin1);

        await client.SendAsync($"GET / HTTP/1.1\r\nHost: a\r\n{Values}Connection: close\r\n\r\n");
        string response = await client.ReadToEndAsync();

        Assert.Equal("\u00e9\u6f22", read);
        Assert.Contains("\r\nB: \u00c3\u00a9\u00e6\u00bc\u00a2\r\n", response, StringComparison.Ordinal);
        Assert.Contains("\r\nC: \u00ff\u00fe \u00c3\r\n", response, StringComparison.Ordinal);
    }

    private sealed class Handler(Action<HttpContext> handle) : IHttpDeployment
    {
        public ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
        {
            handle(context);
            return ValueTask.CompletedTask;
        }
    }
}
