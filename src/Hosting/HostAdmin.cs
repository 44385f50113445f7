using Microsoft.AspNetCore.Http;
using Serve.Embedded.Admin;
using Serve.Embedded.Config;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting;

/// <summary>The admin API on a host's own routes, which are mapped before there is a server.</summary>
internal sealed class HostAdmin(ServeHost host) : IAdminControl
{
    public AdminView View => Control.View;

    public ServeTelemetry Telemetry => Control.Telemetry;

    public IReadOnlyList<Generation> Generations => Control.Generations;

    private IAdminControl Control => host.Running?.Server.Control ?? throw new AdminRefusedException("The server has ended.", StatusCodes.Status503ServiceUnavailable);

    public ConfigResult Read(ReadOnlySpan<byte> utf8, bool isJson, string source, string? folder) => Control.Read(utf8, isJson, source, folder);

    public Task<Generation> DeployAsync(ServeConfig config, bool force, bool atomic) => Control.DeployAsync(config, force, atomic);

    public Task<Generation> RollbackAsync(int? number) => Control.RollbackAsync(number);

    public Task ScaleAsync(string application, string deployment, int replicas) => Control.ScaleAsync(application, deployment, replicas);

    public void Shutdown() => Control.Shutdown();

    /// <summary>
    /// Puts itself before an endpoint. Who may ask at all is the host's to say; here a web page of another origin is kept from using the host's cookies, and the file's token is asked for, if it names one.
    /// </summary>
    /// <param name="next">The endpoint.</param>
    /// <param name="isOpen">It tells nothing of the server, and needs no token.</param>
    public RequestDelegate Guard(RequestDelegate next, bool isOpen) => async context =>
    {
        if (host.Running is not { } running)
        {
            await AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status503ServiceUnavailable, "The server has not started, or has ended.");
            return;
        }

        if (running.AdminGuard.Refuses(context, isOpen) is { } refusal)
        {
            await AdminJson.WriteErrorAsync(context.Response, refusal.StatusCode, refusal.Message);
            return;
        }

        try
        {
            await next(context);
        }
        catch (AdminRefusedException exception) when (!context.Response.HasStarted)
        {
            await AdminJson.WriteErrorAsync(context.Response, exception.StatusCode, exception.Message);
        }
    };
}
