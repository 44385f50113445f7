using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Tests.Functional.Conformance.Subject;

/// <summary><c>/heard/WHAT</c> answers when it has happened, <c>/release/NAME</c> releases, <c>/events</c> lists all that has happened.</summary>
internal sealed class BoardDeployment(Board board) : IDeployment<HttpRequest, string>
{
    public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        string[] parts = request.Path.Value!.Split('/', 3);
        switch (parts[1])
        {
            case "heard":
                await board.HeardAsync(parts[2], cancellationToken);
                break;
            case "release":
                board.Release(parts[2]);
                break;
        }

        return string.Join('\n', board.Events);
    }
}

/// <summary>Does what its path says. <c>X-Replica</c> is who did it, <c>X-Root</c> where it is mounted.</summary>
internal sealed class Probe(Work work, DeploymentContext context) : IDeployment<HttpRequest, string>
{
    public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        request.HttpContext.Response.Headers["X-Replica"] = context.ReplicaId;
        request.HttpContext.Response.Headers["X-Root"] = request.PathBase.Value;
        request.HttpContext.Response.Headers["X-Seen-Id"] = CurrentRequest.Id;
        if (request.Method == HttpMethods.Post)
        {
            using StreamReader body = new(request.Body);
            return await body.ReadToEndAsync(cancellationToken);
        }

        return await work.DoAsync(Order(request), cancellationToken);
    }

    public static string Order(HttpRequest request) => request.Path.Value!.TrimStart('/');
}

/// <summary>Comes up when <c>start</c> is released.</summary>
internal sealed class Late : IDeployment<HttpRequest, string>
{
    private readonly Probe _probe;

    public Late(Board board, Work work, DeploymentContext context)
    {
        board.Tell("starting");
        board.ReleasedAsync("start", CancellationToken.None).GetAwaiter().GetResult();
        _probe = new(work, context);
    }

    public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => _probe.HandleAsync(request, cancellationToken);
}

/// <summary>
/// Fails as often as <c>args.failures</c> says before it comes up. Once <c>flaky</c> is released every second of its health checks fails; once <c>sick ID</c> is, or <c>sick all</c>, all do.
/// </summary>
internal sealed class Life : IDeployment<HttpRequest, string>, IHealthChecked
{
    private readonly Board _board;
    private readonly Probe _probe;
    private readonly string _id;
    private int _checks;

    public Life(Board board, Work work, DeploymentContext context)
    {
        if (context.Args is { } args && board.IsAmongTheFirst(args.GetProperty("failures").GetInt32()))
        {
            throw new InvalidOperationException("It was told not to start.");
        }

        _board = board;
        _probe = new(work, context);
        _id = context.ReplicaId;
    }

    public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => _probe.HandleAsync(request, cancellationToken);

    public ValueTask CheckHealthAsync(CancellationToken cancellationToken)
    {
        bool fails = _board.IsReleased("flaky") && ++_checks % 2 == 1;
        if (fails || _board.IsReleased($"sick {_id}") || _board.IsReleased("sick all"))
        {
            _board.Tell($"sick {_id}");
            throw new InvalidOperationException("It was told to be sick.");
        }

        if (_checks > 0)
        {
            _board.Tell($"well {_checks}");
        }

        return ValueTask.CompletedTask;
    }
}

/// <summary>One chunk at once and one when it is released; <c>/throw/NAME</c> fails then.</summary>
internal sealed class Streamer(Board board, Work work) : IDeployment<HttpRequest, IAsyncEnumerable<string>>
{
    public ValueTask<IAsyncEnumerable<string>> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new(ReadAsync(Probe.Order(request), cancellationToken));

    private async IAsyncEnumerable<string> ReadAsync(string order, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        string name = order[(order.IndexOf('/', StringComparison.Ordinal) + 1)..];
        board.Tell($"begun {name}");
        yield return "one\n";
        await work.HoldAsync(name, cancellationToken);
        if (order.StartsWith("throw/", StringComparison.Ordinal))
        {
            throw new InvalidOperationException($"'{name}' was told to fail.");
        }

        yield return "two\n";
    }
}

/// <summary>An upgraded connection that says back what it hears, and closes on <c>bye</c>.</summary>
internal sealed class Socket : IHttpDeployment
{
    public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
    {
        using Stream stream = await context.Features.GetRequiredFeature<IHttpUpgradeFeature>().UpgradeAsync();
        byte[] buffer = new byte[100];
        while (await stream.ReadAsync(buffer, cancellationToken) is > 0 and int count)
        {
            await stream.WriteAsync(buffer.AsMemory(0, count), cancellationToken);
            if (Encoding.ASCII.GetString(buffer, 0, count).Contains("bye", StringComparison.Ordinal))
            {
                return;
            }
        }
    }
}

/// <summary>Answers several at once: each is told how many there were, and for which model, if any. <c>throw</c> fails the batch, <c>lose</c> leaves one answer out.</summary>
internal sealed class Batch(Board board, DeploymentContext context) : IBatchDeployment<HttpRequest, string>, IReconfigurable
{
    public ValueTask<IReadOnlyList<string>> HandleBatchAsync(IReadOnlyList<HttpRequest> batch, CancellationToken cancellationToken)
    {
        string[] names = [.. batch.Select(Probe.Order)];
        string model = CurrentRequest.ModelId is { } id ? $" for {id}" : "";
        board.Tell($"batch of {names.Length}");
        return names.Contains("throw") ? throw new InvalidOperationException("The batch was told to fail.")
            : new([.. names.Skip(names.Contains("lose") ? 1 : 0).Select(name => $"{name} of {names.Length}{model}")]);
    }

    public ValueTask ReconfigureAsync(System.Text.Json.JsonElement userConfig, CancellationToken cancellationToken)
    {
        context.Batching.MaxBatchSize = userConfig.GetProperty("size").GetInt32();
        context.Batching.BatchWaitTimeout = TimeSpan.FromSeconds(userConfig.GetProperty("wait_s").GetDouble());
        return ValueTask.CompletedTask;
    }
}

/// <summary>Does its work with the model that the request names. A model named <c>slow...</c> is loaded when it is released.</summary>
internal sealed class Models(Board board, Work work, DeploymentContext context) : IDeployment<HttpRequest, string>
{
    private readonly Probe _probe = new(work, context);

    private readonly MultiplexedModels<Model> _models = context.CreateModels<Model>(async (id, cancellationToken) =>
    {
        board.Tell($"loading {id}");
        if (id.StartsWith("slow", StringComparison.Ordinal))
        {
            await board.ReleasedAsync(id, cancellationToken);
        }

        return new(board, id);
    });

    public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        using ModelLease<Model> lease = await _models.GetAsync(CurrentRequest.ModelId ?? "none", cancellationToken);
        await _probe.HandleAsync(request, cancellationToken);
        return lease.ModelId;
    }

    private sealed class Model(Board board, string id) : IDisposable
    {
        public void Dispose() => board.Tell($"unloaded {id}");
    }
}
