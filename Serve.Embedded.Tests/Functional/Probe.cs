using System.Text.Json;
using System.Threading.Channels;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Tests.Functional;

/// <summary>A deployment that a test drives: it sees every call begin and decides how it ends.</summary>
internal sealed class Probe
{
    private readonly Channel<ProbeCall> _calls = Channel.CreateUnbounded<ProbeCall>();
    private int _made;
    private int _disposed;

    /// <summary>Handlers made, one per replica.</summary>
    public int Made => Volatile.Read(ref _made);

    public int Disposed => Volatile.Read(ref _disposed);

    /// <summary>What reconfigure was given, in order.</summary>
    public List<string> UserConfigs { get; } = [];

    /// <summary>Thrown by the next constructors, one each.</summary>
    public Queue<Exception> ConstructorFailures { get; } = new();

    /// <summary>The next call that reaches a handler.</summary>
    public Task<ProbeCall> NextAsync() => _calls.Reader.ReadAsync(TestServer.Deadline).AsTask();

    public bool TryNext(out ProbeCall? call) => _calls.Reader.TryRead(out call);

    public DeploymentRegistry Register(DeploymentRegistry? registry = null, string importPath = "test:probe") =>
        (registry ?? new()).AddApplication(importPath, app => app.Add<HttpRequest, string>("Probe", c => new Handler(this, c)));

    public static ServeConfig Config(DeploymentConfig? deployment = null, HttpOptionsConfig? http = null) => new()
    {
        Http = http ?? new(),
        Applications = [new() { ImportPath = "test:probe", Deployments = [deployment ?? new() { Name = "Probe" }] }],
    };

    /// <summary>A call from a handler of the test's own.</summary>
    public async Task<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        ProbeCall call = new(request, "", cancellationToken);
        await _calls.Writer.WriteAsync(call, CancellationToken.None);
        return await call.Answer;
    }

    private sealed class Handler : IDeployment<HttpRequest, string>, IReconfigurable, IDisposable
    {
        private readonly Probe _probe;
        private readonly DeploymentContext _context;

        public Handler(Probe probe, DeploymentContext context)
        {
            _probe = probe;
            _context = context;
            if (probe.ConstructorFailures.TryDequeue(out Exception? failure))
            {
                throw failure;
            }

            Interlocked.Increment(ref probe._made);
        }

        public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
        {
            ProbeCall call = new(request, _context.ReplicaId, cancellationToken);
            await _probe._calls.Writer.WriteAsync(call, CancellationToken.None);
            return await call.Answer;
        }

        public ValueTask ReconfigureAsync(JsonElement userConfig, CancellationToken cancellationToken)
        {
            lock (_probe.UserConfigs)
            {
                _probe.UserConfigs.Add(userConfig.GetRawText());
            }

            return userConfig.TryGetProperty("bad", out _)
                ? throw new ArgumentException("bad is not allowed")
                : ValueTask.CompletedTask;
        }

        public void Dispose() => Interlocked.Increment(ref _probe._disposed);
    }
}

/// <summary>One call in a handler.</summary>
internal sealed class ProbeCall
{
    private readonly TaskCompletionSource<string> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ProbeCall(HttpRequest request, string replicaId, CancellationToken cancellationToken)
    {
        Request = request;
        Path = request.Path;
        PathBase = request.PathBase;
        ReplicaId = replicaId;
        cancellationToken.UnsafeRegister(static c => ((TaskCompletionSource)c!).TrySetResult(), _cancelled);
    }

    /// <summary>Until it is answered.</summary>
    public HttpRequest Request { get; }

    public string Path { get; }

    public string PathBase { get; }

    public string ReplicaId { get; }

    /// <summary>Completes when the handler is told to stop. It goes on until the test answers.</summary>
    public Task Cancelled => _cancelled.Task;

    public Task<string> Answer => _answer.Task;

    public void Return(string text) => _answer.TrySetResult(text);

    public void Throw(Exception exception) => _answer.TrySetException(exception);
}
