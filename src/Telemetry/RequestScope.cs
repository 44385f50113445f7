namespace Serve.Embedded.Telemetry;

/// <summary>
/// What is known about the request that the current code works for, so that every log line written meanwhile can carry it.
/// One holder belongs to one connection (or to one composed call at a time) and is refilled for each request, because a fresh ambient
/// value per request would cost an allocation per request. The price is a rule: a task that a handler starts and
/// does not await sees, once its request has ended, whatever request the holder serves next.
/// </summary>
internal sealed class RequestScope
{
    private static readonly AsyncLocal<RequestScope?> Ambient = new();

    /// <summary>The context of whoever made the holder, plus the holder; entering it is one field write.</summary>
    private readonly ExecutionContext? _context;

    /// <param name="keepsContext">
    /// Keeps the other ambient values of the caller's context: make a connection's holder in the connection's own context. Without it the holder can only be joined, by
    /// whoever has ambient values of its own for each request.
    /// </param>
    public RequestScope(bool keepsContext = true)
    {
        if (!keepsContext)
        {
            return;
        }

        RequestScope? outer = Ambient.Value;
        Ambient.Value = this;
        ExecutionContext? captured = ExecutionContext.Capture();
        Ambient.Value = outer;
        _context = captured ?? throw new InvalidOperationException(
            "A request scope was made where the flow of the execution context is suppressed: make it before SuppressFlow or after RestoreFlow.");
    }

    public static RequestScope? Current => Ambient.Value;

    public string? RequestId { get; set; }

    public string? Application { get; set; }

    /// <summary>Together with <see cref="Replica"/>: lines outside the proxy and the controller are this replica's.</summary>
    public string? Deployment { get; set; }

    public string? Replica { get; set; }

    public string? Route { get; set; }

    /// <summary>The model that it asks for.</summary>
    public string? ModelId { get; set; }

    /// <summary>The session that it belongs to.</summary>
    public string? SessionId { get; set; }

    /// <summary>Whether it names a model or a session.</summary>
    public bool NamesAPlace => ModelId is not null || SessionId is not null;

    /// <summary>
    /// What a callee is to join, where that is not what its caller has. A model and a session are of one call: who wants its callee to know them says so.
    /// <see langword="null"/> = it is.
    /// </summary>
    public static RequestScope? OfCall(string? modelId, string? sessionId)
    {
        RequestScope? caller = Current;
        return modelId is null && sessionId is null && caller is not { NamesAPlace: true }
            ? null
            : new(keepsContext: false)
            {
                RequestId = caller?.RequestId,
                Application = caller?.Application,
                Deployment = caller?.Deployment,
                Replica = caller?.Replica,
                Route = caller?.Route,
                ModelId = modelId,
                SessionId = sessionId,
            };
    }

    /// <summary>
    /// Makes this the current scope of the calling thread, replacing its whole ambient context, without allocating. Inside an
    /// <c>async</c> method it flows with the awaits and ends, for the caller, where the method first returns.
    /// </summary>
    public void Enter() => ExecutionContext.Restore(_context!);

    /// <summary>Makes this the current scope beside all other ambient values that the calling thread has. Ends as <see cref="Enter"/> does, and allocates.</summary>
    public void Join() => Ambient.Value = this;

    /// <summary>
    /// Runs <paramref name="work"/> in this scope and gives the thread its own ambient context back, without allocating: for a
    /// thread that goes on to other work, such as a replica's.
    /// </summary>
    public void Run(ContextCallback work, object? state) => ExecutionContext.Run(_context!, work, state);

    /// <summary>Forgets the request, so that nothing of it is told of the next one.</summary>
    public void Clear()
    {
        RequestId = null;
        Application = null;
        Deployment = null;
        Replica = null;
        Route = null;
        ModelId = null;
        SessionId = null;
    }
}
