using System.IO.Pipelines;
using System.Net.WebSockets;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Proxy;

/// <summary>
/// Stands between a handler and the response, so that a timeout can answer 408 while the handler still runs: whoever begins first, handler or
/// proxy, owns the response. Until it begins, what the handler sets is kept here; when the proxy has taken it, the handler's writes throw.
/// One per connection, refilled for each request.
/// </summary>
internal sealed class ResponseGuard(Exchange exchange) : PipeWriter, IHttpResponseFeature, IHttpResponseBodyFeature, IHttpUpgradeFeature, IHttpWebSocketFeature, IHttpExtendedConnectFeature
{
    private const int Nobody = 0;
    private const int Handler = 1;
    private const int Proxy = 2;

    private readonly PendingHeaders _headers = new();
    private IHttpResponseFeature _response = null!;
    private IHttpResponseBodyFeature _body = null!;
    private IHttpUpgradeFeature? _upgrade;

    /// <summary>That of the host's middleware, which keeps the server's own features to upgrade with; there if the request asks for a WebSocket.</summary>
    private IHttpWebSocketFeature? _webSocket;

    /// <summary>There if the request asks for a WebSocket over HTTP/2.</summary>
    private IHttpExtendedConnectFeature? _connect;
    private Stream? _stream;
    private int _statusCode;
    private string? _reasonPhrase;
    private int _owner;

    /// <summary>The thread that answers in the place of a handler which is still at work; 0 = none.</summary>
    private int _answersOn;

    /// <summary>The handler's response has begun: from here it can only be finished or broken off.</summary>
    public bool HasBegun => Volatile.Read(ref _owner) == Handler;

    /// <summary>Who asks sees the response itself: a handler that has begun it, and what the proxy's own answer passes through on its way (compression, a server for tests), which looks for its status and headers here.</summary>
    private bool IsShown => HasBegun || Volatile.Read(ref _answersOn) == Environment.CurrentManagedThreadId;

    /// <summary>There is something of its body, which what the host has put around the response may hold back and not tell of.</summary>
    public bool HasBody { get; private set; }

    int IHttpResponseFeature.StatusCode
    {
        get => IsShown ? _response.StatusCode : _statusCode;
        set
        {
            if (HasBegun)
            {
                _response.StatusCode = value;
            }

            _statusCode = value;
        }
    }

    string? IHttpResponseFeature.ReasonPhrase
    {
        get => IsShown ? _response.ReasonPhrase : _reasonPhrase;
        set
        {
            if (HasBegun)
            {
                _response.ReasonPhrase = value;
            }

            _reasonPhrase = value;
        }
    }

    IHeaderDictionary IHttpResponseFeature.Headers
    {
        get => IsShown ? _response.Headers : _headers;
        set => throw new NotSupportedException("The header collection of a response cannot be replaced; set its entries.");
    }

#pragma warning disable CS0618 // The interface still asks for the obsolete property.
    Stream IHttpResponseFeature.Body
    {
        get => Stream;
        set => throw new NotSupportedException("The body of a response cannot be replaced here; set IHttpResponseBodyFeature.");
    }
#pragma warning restore CS0618

    bool IHttpResponseFeature.HasStarted => HasBegun ? _response.HasStarted : Volatile.Read(ref _owner) == Proxy;

    public Stream Stream => _stream ??= AsStream(leaveOpen: true);

    PipeWriter IHttpResponseBodyFeature.Writer => this;

    bool IHttpWebSocketFeature.IsWebSocketRequest => _webSocket is not null;

    bool IHttpExtendedConnectFeature.IsExtendedConnect => _connect is not null;

    string? IHttpExtendedConnectFeature.Protocol => _connect?.Protocol;

    bool IHttpUpgradeFeature.IsUpgradableRequest => _upgrade?.IsUpgradableRequest ?? false;

    public override bool CanGetUnflushedBytes => _body.Writer.CanGetUnflushedBytes;

    public override long UnflushedBytes => _body.Writer.UnflushedBytes;

    /// <summary>Puts itself in the place of the server's own response.</summary>
    /// <param name="features">The request's.</param>
    /// <param name="response">The server's own.</param>
    /// <param name="body">The server's own.</param>
    /// <param name="mayUpgrade">Its headers are not such that it asks for no upgraded connection.</param>
    public void Enter(IFeatureCollection features, IHttpResponseFeature response, IHttpResponseBodyFeature body, bool mayUpgrade)
    {
        _response = response;
        _body = body;
        _stream = null;
        _statusCode = StatusCodes.Status200OK;
        _reasonPhrase = null;
        _owner = Nobody;
        HasBody = false;
        _headers.Reset();

        // By type and not by type argument, since a generic virtual call costs more than the whole rest of this method.
        features[typeof(IHttpResponseFeature)] = this;
        features[typeof(IHttpResponseBodyFeature)] = this;
        object? upgrade = features[typeof(IHttpUpgradeFeature)];
        if (upgrade != _upgrade && upgrade != this)
        {
            // Mostly it is that of the request before, and a cast costs more than this look.
            _upgrade = (IHttpUpgradeFeature?)upgrade;
        }

        if (_upgrade is { IsUpgradableRequest: true })
        {
            features[typeof(IHttpUpgradeFeature)] = this;
        }

        if (mayUpgrade && features[typeof(IHttpWebSocketFeature)] is IHttpWebSocketFeature { IsWebSocketRequest: true } webSocket && webSocket != this)
        {
            _webSocket = webSocket;
            features[typeof(IHttpWebSocketFeature)] = this;
        }

        if (mayUpgrade && features[typeof(IHttpExtendedConnectFeature)] is IHttpExtendedConnectFeature { IsExtendedConnect: true } connect && connect != this)
        {
            _connect = connect;
            features[typeof(IHttpExtendedConnectFeature)] = this;
        }
    }

    /// <summary>Puts the server's own response back, where somebody goes on with the request after the handler.</summary>
    public void Leave(IFeatureCollection features)
    {
        features[typeof(IHttpResponseFeature)] = _response;
        features[typeof(IHttpResponseBodyFeature)] = _body;
        if (_upgrade is { IsUpgradableRequest: true })
        {
            features[typeof(IHttpUpgradeFeature)] = _upgrade;
        }

        if (_webSocket is not null)
        {
            features[typeof(IHttpWebSocketFeature)] = _webSocket;
            _webSocket = null;
        }

        if (_connect is not null)
        {
            features[typeof(IHttpExtendedConnectFeature)] = _connect;
            _connect = null;
        }
    }

    /// <summary>Forgets what a handler has set whose response never began.</summary>
    public void StartOver()
    {
        _statusCode = StatusCodes.Status200OK;
        _reasonPhrase = null;
        _headers.Reset();
    }

    /// <summary>From here to <see cref="EndAnswer"/> this thread answers.</summary>
    public void BeginAnswer() => Volatile.Write(ref _answersOn, Environment.CurrentManagedThreadId);

    public void EndAnswer() => Volatile.Write(ref _answersOn, 0);

    /// <summary>The proxy answers in the handler's place; <see langword="false"/> if the handler has begun.</summary>
    public bool TryTake() => Interlocked.CompareExchange(ref _owner, Proxy, Nobody) == Nobody;

    /// <summary>The handler's response begins: its status and headers go to the server. <see langword="false"/> if the proxy has answered.</summary>
    /// <param name="streamed">Whether the body is sent while it is made, and not by way of this; not given: whether its length is unknown.</param>
    public bool TryBegin(bool? streamed = null)
    {
        int owner = Volatile.Read(ref _owner);
        if (owner != Nobody)
        {
            return owner == Handler;
        }

        // Before the response is claimed, nothing of it may reach the server; after, the handler's thread alone writes it.
        if (Interlocked.CompareExchange(ref _owner, Handler, Nobody) != Nobody)
        {
            return false;
        }

        _response.StatusCode = _statusCode;
        if (_reasonPhrase is not null)
        {
            _response.ReasonPhrase = _reasonPhrase;
        }

        IHeaderDictionary headers = _response.Headers;
        _headers.MoveTo(headers);
        HasBody = streamed is true;
        exchange.ResponseBegins(streamed ?? headers.ContentLength is null);
        return true;
    }

    public void OnStarting(Func<object, Task> callback, object state) => _response.OnStarting(callback, state);

    public void OnCompleted(Func<object, Task> callback, object state) => _response.OnCompleted(callback, state);

    public void DisableBuffering() => _body.DisableBuffering();

    public Task StartAsync(CancellationToken cancellationToken = default)
    {
        Begin();
        return _body.StartAsync(cancellationToken);
    }

    public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default)
    {
        Begin();
        HasBody = true;
        return _body.SendFileAsync(path, offset, count, cancellationToken);
    }

    public Task CompleteAsync()
    {
        Begin();
        return _body.CompleteAsync();
    }

    public async Task<Stream> UpgradeAsync()
    {
        Begin();
        exchange.Upgrades();
        Stream stream = await _upgrade!.UpgradeAsync();
        exchange.HasUpgraded();
        return stream;
    }

    public async Task<WebSocket> AcceptAsync(WebSocketAcceptContext context)
    {
        Begin();
        exchange.Upgrades();
        WebSocket socket = await _webSocket!.AcceptAsync(context);
        exchange.HasUpgraded();
        return socket;
    }

    async ValueTask<Stream> IHttpExtendedConnectFeature.AcceptAsync()
    {
        Begin();
        exchange.Upgrades();
        Stream stream = await _connect!.AcceptAsync();
        exchange.HasUpgraded();
        return stream;
    }

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        Begin();
        return _body.Writer.GetMemory(sizeHint);
    }

    public override Span<byte> GetSpan(int sizeHint = 0)
    {
        Begin();
        return _body.Writer.GetSpan(sizeHint);
    }

    public override void Advance(int bytes)
    {
        Begin();
        HasBody |= bytes > 0;
        _body.Writer.Advance(bytes);
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        Begin();
        return _body.Writer.FlushAsync(cancellationToken);
    }

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        Begin();
        HasBody = true;
        return _body.Writer.WriteAsync(source, cancellationToken);
    }

    public override void CancelPendingFlush() => _body.Writer.CancelPendingFlush();

    public override void Complete(Exception? exception = null)
    {
        if (HasBegun)
        {
            _body.Writer.Complete(exception);
        }
    }

    private void Begin()
    {
        if (!TryBegin())
        {
            throw new OperationCanceledException("The request has ended and was answered without this handler; its response can no longer be written.");
        }
    }
}
