using System.Globalization;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Serve.Embedded;

/// <summary>
/// Answers for the host's own endpoints where a <see cref="DeploymentHandle{TRequest, TResponse}"/> that they call refuses: with the deployment's status (503, or what its <c>backpressure_config</c> says) and
/// <c>Retry-After</c>, as <c>MapServe</c> does by itself. Added with <c>builder.Services.AddExceptionHandler&lt;ServeExceptionHandler&gt;()</c>, beside <c>app.UseExceptionHandler()</c>.
/// </summary>
/// <remarks>
/// The body is a problem detail where the host has those (<c>AddProblemDetails</c>) and the client takes them, else plain text; it says which limit was reached. All other exceptions are left to others, a
/// <see cref="TimeoutException"/> of <see cref="CallOptions.Timeout"/> among them.
/// </remarks>
public sealed class ServeExceptionHandler : IExceptionHandler
{
    /// <inheritdoc/>
    public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(httpContext);
        HttpResponse response = httpContext.Response;

        // Who blocked for the call with Wait or Result gets it wrapped.
        Exception refusal = exception is AggregateException { InnerExceptions: [Exception only] } ? only : exception;
        switch (refusal)
        {
            case BackPressureException full:
                response.StatusCode = full.StatusCode;
                response.Headers.RetryAfter = full.RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
                break;
            case DeploymentUnavailableException:
                response.StatusCode = StatusCodes.Status503ServiceUnavailable;
                break;
            default:
                return false;
        }

        if (httpContext.RequestServices.GetService<IProblemDetailsService>() is not { } problems
            || !await problems.TryWriteAsync(new() { HttpContext = httpContext, Exception = refusal, ProblemDetails = { Status = response.StatusCode, Detail = refusal.Message } }))
        {
            response.ContentType = "text/plain; charset=utf-8";
            await response.WriteAsync(refusal.Message, cancellationToken);
        }

        return true;
    }
}
