// What the library costs those who embed it or compose deployments with it.
//
// Usage: Library plain|identified|mapped PORT
//                                       one endpoint of a minimal API: by itself, with an id in a header of each response, or behind MapServe
//        Library run CONFIG ...         the server, with these applications compiled in:
//          bench:alone                  one deployment
//          bench:composed               a deployment that asks another one for its answer
//          bench:batched                batches of args.size, each of which costs args.cost_ms
using System.Globalization;
using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Serve.Embedded;

if (args is ["plain" or "identified" or "mapped", string port])
{
    WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
    builder.Logging.ClearProviders();
    builder.WebHost.ConfigureKestrel(kestrel =>
    {
        kestrel.AddServerHeader = false;
        kestrel.Listen(IPAddress.Loopback, int.Parse(port, CultureInfo.InvariantCulture));
    });
    bool isMapped = args[0] == "mapped";
    if (isMapped)
    {
        builder.Services.AddServe(serve => serve.AddApplication("ok", app => app.AddHttp("Ok", _ => new Ok(), new() { MaxOngoingRequests = 100 })));
    }

    WebApplication host = builder.Build();
    if (isMapped)
    {
        host.MapServe();
    }
    else if (args[0] == "identified")
    {
        host.Map("/{**path}", Ok.AnswerWithIdAsync);
    }
    else
    {
        host.Map("/{**path}", Ok.AnswerAsync);
    }

    await host.RunAsync();
    return 0;
}

return await ServeCli.RunAsync(args, new DeploymentRegistry()
    .AddApplication("bench:alone", app => app.Add<HttpRequest, string>("Front", _ => new Front(), new() { MaxOngoingRequests = 100 }))
    .AddApplication("bench:composed", app => app
        .Add<HttpRequest, string>("Front", context => new Caller(context.GetHandle<string, string>("Back")), new() { MaxOngoingRequests = 100 })
        .Add<string, string>("Back", _ => new Back(), new() { MaxOngoingRequests = 100 }))
    .AddApplication("bench:batched", app => app.AddBatch<string, string>(
        "Batch", context => new Batch(context), options: new() { MaxOngoingRequests = 128, MaxQueuedRequests = 1000 }, fromHttp: static (request, _) => new(request.Path.Value!))));

/// <summary>The same handler, with the server in front of it and without.</summary>
internal sealed class Ok : IHttpDeployment
{
    private static readonly ReadOnlyMemory<byte> Text = "ok"u8.ToArray();

    public static async Task AnswerAsync(HttpContext context)
    {
        context.Response.ContentType = "text/plain; charset=utf-8";
        context.Response.ContentLength = Text.Length;
        await context.Response.BodyWriter.WriteAsync(Text, context.RequestAborted);
    }

    /// <summary>What the response's id costs by itself: without it no server could tell a client which request was which.</summary>
    public static Task AnswerWithIdAsync(HttpContext context)
    {
        Span<byte> id = stackalloc byte[16];
        Random.Shared.NextBytes(id);
        context.Response.Headers["X-Request-ID"] = new Guid(id).ToString();
        return AnswerAsync(context);
    }

    public ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken) => new(AnswerAsync(context));
}

internal sealed class Front : IDeployment<HttpRequest, string>
{
    public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new("ok");
}

internal sealed class Caller(DeploymentHandle<string, string> back) : IDeployment<HttpRequest, string>
{
    public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => back.CallAsync("ok", cancellationToken);
}

internal sealed class Back : IDeployment<string, string>
{
    public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken) => new(request);
}

/// <summary>Costs the same however many it answers, as a model on an accelerator does.</summary>
internal sealed class Batch : IBatchDeployment<string, string>
{
    private readonly TimeSpan _cost;
    private readonly TimeProvider _time;

    public Batch(DeploymentContext context)
    {
        JsonElement settings = context.Args ?? throw new ArgumentException("bench:batched needs args: { size = 64, cost_ms = 2 }.");
        context.Batching.MaxBatchSize = settings.GetProperty("size").GetInt32();
        _cost = TimeSpan.FromMilliseconds(settings.GetProperty("cost_ms").GetDouble());
        _time = context.Time;
    }

    public async ValueTask<IReadOnlyList<string>> HandleBatchAsync(IReadOnlyList<string> batch, CancellationToken cancellationToken)
    {
        await Task.Delay(_cost, _time, cancellationToken);
        return batch;
    }
}
