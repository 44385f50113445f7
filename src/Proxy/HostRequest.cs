using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.OutputCaching;
using Microsoft.AspNetCore.ResponseCaching;

namespace Serve.Embedded.Proxy;

/// <summary>A request that an application hands over in which the server is embedded: where it came in, and how it goes back as it was. One per exchange, refilled for each request.</summary>
internal sealed class HostRequest
{
    private string _pathBase = string.Empty;
    private string _path = string.Empty;
    private string _mountedAt = string.Empty;
    private IHttpMaxRequestBodySizeFeature? _bodyLimit;
    private HttpContext? _context;
    private HostRoute? _route;

    /// <summary>A request is here now.</summary>
    public bool IsTaken => _context is not null;

    /// <summary>The host's own.</summary>
    public HttpContext Context => _context!;

    /// <summary>Where the endpoint leads that took it.</summary>
    public HostRoute Route => _route!;

    /// <summary>Takes a request: what is below the endpoint is its path from here on.</summary>
    public void Enter(HttpContext context, HostRoute route, IHttpRequestFeature request, long mostBodyBytes)
    {
        _context = context;
        _route = route;
        _pathBase = request.PathBase;
        _path = request.Path;
        int mount = HostRoute.MountLength(context, _path);
        if (!_path.AsSpan(0, mount).SequenceEqual(_mountedAt))
        {
            // A connection's requests mostly come through one endpoint.
            _mountedAt = _path[..mount];
        }

        if (mount > 0)
        {
            request.PathBase = _pathBase + _mountedAt;
            request.Path = _path.Length - mount <= 1 ? "/" : _path[mount..];
        }

        object? limit = context.Features[typeof(IHttpMaxRequestBodySizeFeature)];
        if (limit != _bodyLimit)
        {
            _bodyLimit = limit as IHttpMaxRequestBodySizeFeature;
        }

        // Of the host's limit and ours the lower one holds.
        if (_bodyLimit is { IsReadOnly: false } bodyLimit && (bodyLimit.MaxRequestBodySize is not { } host || host > mostBodyBytes))
        {
            bodyLimit.MaxRequestBodySize = mostBodyBytes;
        }
    }

    /// <summary>Tells the client the id of its request. What a cache of the host keeps of the response does without: it is not the id of those who get it later.</summary>
    public static void SayId(string id, IFeatureCollection features, IHttpResponseFeature response)
    {
        if (features[typeof(IOutputCacheFeature)] is null && features[typeof(IResponseCachingFeature)] is null)
        {
            response.Headers[RequestIds.Header] = id;
            return;
        }

        // The cache copies the headers before this.
        response.OnStarting(static state =>
        {
            (IHttpResponseFeature response, string id) = ((IHttpResponseFeature, string))state;
            response.Headers[RequestIds.Header] = id;
            return Task.CompletedTask;
        }, (response, id));
    }

    /// <summary>Gives it back.</summary>
    public void Leave(IHttpRequestFeature request)
    {
        request.PathBase = _pathBase;
        request.Path = _path;
        _context = null;
        _route = null;
    }

    /// <summary>What the access log says of a request's route, so that it reads as the host's routes do.</summary>
    /// <param name="prefix">The application's; <see langword="null"/> = none was found.</param>
    /// <param name="path">Below the endpoint.</param>
    public string RouteForLog(string? prefix, string path) =>
        _mountedAt.Length == 0 ? prefix ?? path
        : prefix is "/" ? _mountedAt
        : _mountedAt + (prefix ?? path);
}
