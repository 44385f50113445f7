using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;
using Serve.Embedded.Config;

namespace Serve.Embedded.Admin.Dashboard;

/// <summary>
/// One file of the dashboard, as it is compiled in. There is nothing of the server in it: what the page shows it asks the admin API for, on behalf of who looks at it, so it needs no token itself.
/// </summary>
internal sealed class DashboardFile
{
    /// <summary>Nothing but these files and what the same server says: no inline script or style, no other origin, no frame around it, no form that sends anything.</summary>
    private const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private readonly Lazy<(byte[] Bytes, EntityTagHeaderValue Tag)> _content;
    private readonly string _contentType;

    private DashboardFile(string path, string resource, string contentType)
    {
        Path = path;
        _contentType = contentType;
        _content = new(() => Read(resource));
    }

    public static IReadOnlyList<DashboardFile> All { get; } =
    [
        new("/", "dashboard.html", "text/html; charset=utf-8"),
        new("/dashboard.css", "dashboard.css", "text/css; charset=utf-8"),
        new("/dashboard.js", "dashboard.js", "text/javascript; charset=utf-8"),
        new("/dashboard.svg", "dashboard.svg", "image/svg+xml"),
    ];

    /// <summary>Below the prefix.</summary>
    public string Path { get; }

    /// <summary>Whether the admin port has one of them there.</summary>
    public static bool IsAt(PathString path) => All.Any(f => path == f.Path);

    public Task WriteAsync(HttpContext context)
    {
        HttpRequest request = context.Request;
        HttpResponse response = context.Response;
        if (!HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method))
        {
            response.Headers.Allow = "GET, HEAD";
            return AdminJson.WriteErrorAsync(response, StatusCodes.Status405MethodNotAllowed, "The dashboard only shows. What changes something is below api/.");
        }

        WriteHeaders(response.Headers);

        // Without the slash at its end, what the page asks for would be asked for beside it and not below it.
        if (Path == "/" && !request.Path.ToUriComponent().EndsWith('/'))
        {
            string own = request.Path.HasValue ? request.Path.ToUriComponent() : request.PathBase.ToUriComponent();
            response.StatusCode = StatusCodes.Status307TemporaryRedirect;
            response.Headers.Location = $"./{own[(own.LastIndexOf('/') + 1)..]}/";
            return Task.CompletedTask;
        }

        (byte[] bytes, EntityTagHeaderValue tag) = _content.Value;
        response.Headers.ETag = tag.ToString();
        if (request.GetTypedHeaders().IfNoneMatch.Any(t => t.Equals(EntityTagHeaderValue.Any) || t.Compare(tag, useStrongComparison: false)))
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return Task.CompletedTask;
        }

        response.ContentType = _contentType;
        response.ContentLength = bytes.Length;
        return HttpMethods.IsHead(request.Method) ? Task.CompletedTask : response.Body.WriteAsync(bytes).AsTask();
    }

    private static void WriteHeaders(IHeaderDictionary headers)
    {
        headers.ContentSecurityPolicy = ContentSecurityPolicy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";

        // Kept, and asked after each time: a new executable's page never meets an old one's script.
        headers.CacheControl = "no-cache";
    }

    private static (byte[] Bytes, EntityTagHeaderValue Tag) Read(string resource)
    {
        using Stream stream = typeof(DashboardFile).Assembly.GetManifestResourceStream(resource)!;
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return (bytes, new($"\"{Checksum.WithLengthOf(bytes)}\""));
    }
}
