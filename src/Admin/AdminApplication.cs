using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Admin;

internal sealed class AdminApplication(ILoggerFactory loggers, Func<AdminView> view) : IHttpApplication<HttpContext>
{
    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public Task ProcessRequestAsync(HttpContext context)
    {
        _ = loggers;
        return context.Response.WriteAsync(view().Status.Applications.Count.ToString(System.Globalization.CultureInfo.InvariantCulture));
    }

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }
}
