using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Admin.Dashboard;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Admin;

/// <summary>The admin port's requests, through the framework's endpoint routing, which is built when the first of them comes: a cold start does not pay for it.</summary>
internal sealed class AdminApplication : IHttpApplication<HttpContext>
{
    private readonly ILogger _logger;
    private readonly AdminGuard _guard;
    private readonly Lazy<RequestDelegate> _pipeline;

    public AdminApplication(ILoggerFactory loggers, AdminGuard guard, IAdminControl control)
    {
        _logger = loggers.CreateLogger(LogCategories.Server);
        _guard = guard;
        _pipeline = new(() => Build(loggers, new(control)));
    }

    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public async Task ProcessRequestAsync(HttpContext context)
    {
        if (_guard.Refuses(context, isOpen: DashboardFile.IsAt(context.Request.Path)) is { } refusal)
        {
            await AdminJson.WriteErrorAsync(context.Response, refusal.StatusCode, refusal.Message);
            return;
        }

        try
        {
            await _pipeline.Value(context);
        }
        catch (AdminRefusedException exception) when (!context.Response.HasStarted)
        {
            await AdminJson.WriteErrorAsync(context.Response, exception.StatusCode, exception.Message);
        }
#pragma warning disable CA1031 // The admin port's last line: say it, and serve on.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Log.AdminRequestFailed(_logger, context.Request.Method, context.Request.Path.ToString(), exception);
            if (context.Response.HasStarted)
            {
                // Half an answer must not look like a whole one.
                context.Abort();
            }
            else
            {
                await AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status500InternalServerError, "The request failed; the server's log says why.");
            }
        }
    }

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    private static RequestDelegate Build(ILoggerFactory loggers, AdminEndpoints endpoints)
    {
        ServiceCollection services = new();
        services.AddSingleton(loggers);
        services.AddLogging();
        services.AddRoutingCore();
        DiagnosticListener listener = new("Microsoft.AspNetCore");
        services.AddSingleton(listener);
        services.AddSingleton<DiagnosticSource>(listener);
        ServiceProvider provider = services.BuildServiceProvider();
        Microsoft.AspNetCore.Builder.ApplicationBuilder application = new(provider);
        application.Use(next => context =>
        {
            context.RequestServices = provider;
            return next(context);
        });
        application.UseRouting();
        application.UseEndpoints(endpoints.Map);
        return application.Build();
    }
}
