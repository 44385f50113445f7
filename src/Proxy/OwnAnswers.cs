using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>The answers that the proxy gives itself, word for word as Ray Serve gives them where it has them. One per exchange, refilled for each request.</summary>
/// <param name="log">For lines about one request.</param>
internal sealed class OwnAnswers(ILogger log)
{
    /// <summary>Says, with the value <c>?1</c>, that nothing of the request was run: it may be sent again whatever it does.</summary>
    public const string NotRunHeader = "X-Request-Not-Run";

    public const string PlainText = "text/plain; charset=utf-8";

    private static readonly StringValues Yes = "?1";

    private IFeatureCollection _features = null!;
    private IHttpRequestFeature _request = null!;
    private IHttpResponseFeature _response = null!;
    private IHttpResponseBodyFeature _body = null!;

    /// <summary>From here on it answers this request.</summary>
    public void Take(IFeatureCollection features, IHttpRequestFeature request, IHttpResponseFeature response, IHttpResponseBodyFeature body)
    {
        _features = features;
        _request = request;
        _response = response;
        _body = body;
    }

    /// <summary>Tells the client that the connection closes after this response. Later versions of HTTP than 1.1 have no such header, and end the stream by themselves.</summary>
    public void CloseConnection()
    {
        if (_request.Protocol.StartsWith("HTTP/1.", StringComparison.Ordinal))
        {
            _response.Headers.Connection = "close";
        }
    }

    public Task BuiltInAsync(int statusCode, string contentType, string text)
    {
        _response.StatusCode = statusCode;
        _response.Headers.ContentType = contentType;
        return ResultWriter.WriteAsync(HttpResult.OfText(text), _response, _body, CancellationToken.None);
    }

    public Task NotFoundAsync(string path) => ErrorAsync(StatusCodes.Status404NotFound, $"Path '{path}' not found. Ping http://.../-/routes for available routes.");

    public Task BodyTooLargeAsync(long length, long limit) => ErrorAsync(
        StatusCodes.Status413PayloadTooLarge,
        string.Create(CultureInfo.InvariantCulture, $"The request body of {length} bytes is larger than max_request_body_bytes = {limit}."));

    public Task TimedOutAsync(string requestId, TimeSpan timeout) => ErrorAsync(StatusCodes.Status408RequestTimeout, TimedOutText(requestId, timeout));

    public static string TimedOutText(string requestId, TimeSpan timeout) => string.Create(CultureInfo.InvariantCulture, $"Request {requestId} timed out after {timeout.TotalSeconds:0.0######}s.");

    /// <summary>After a request that is not to be trusted, nothing else on its connection is.</summary>
    public Task BadRequestAsync(int statusCode, string message)
    {
        CloseConnection();
        return ErrorAsync(statusCode, message);
    }

    /// <summary>The deployment does not take the request.</summary>
    public Task RefusedAsync(ServedDeployment deployment, Refusal refusal)
    {
        deployment.LogRefusal(refusal);
        _response.Headers.RetryAfter = refusal.RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
        return WriteAsync(refusal.StatusCode, refusal.Body);
    }

    public Task UnavailableAsync(string message) => ErrorAsync(StatusCodes.Status503ServiceUnavailable, message);

    /// <summary>So that clients may send again what must not be run twice.</summary>
    public void SayNotRun() => _response.Headers[NotRunHeader] = Yes;

    /// <summary>What a handler's exception means to a client that has had nothing of a response.</summary>
    /// <param name="deployment">The handler's.</param>
    /// <param name="exception">What it threw.</param>
    /// <param name="wasSent">A worker that failed before may have run it.</param>
    public Task FailedAsync(ServedDeployment deployment, Exception exception, bool wasSent)
    {
        // Who blocks for a call with Wait or Result finds in such a one what the call threw.
        switch (exception is AggregateException { InnerExceptions: [Exception only] } ? only : exception)
        {
            case BackPressureException refusal:
                // By a deployment that the handler has called: what the handler had done before, nobody knows.
                return RefusedAsync(deployment, new(refusal.Message, refusal.StatusCode, refusal.RetryAfterSeconds));
            case DeploymentUnavailableException unavailable:
                return UnavailableAsync(unavailable.Message);
            case BadHttpRequestException bad:
                return BadRequestAsync(bad.StatusCode, TextOf(bad));
            case IOException { InnerException: OverflowException } bad:
                // A chunk whose size no number holds: Kestrel does not call it a bad request.
                return BadRequestAsync(StatusCodes.Status400BadRequest, bad.Message);
            case WorkerFailedException failed:
                if (WasNotRun(failed, wasSent))
                {
                    SayNotRun();
                }

                return ErrorAsync(OfFailure(log, failed, wasSent));
            default:
                return BrokenAsync(exception);
        }
    }

    /// <summary>Nothing of the request has ever come to a worker.</summary>
    public static bool WasNotRun(Exception exception, bool wasSent) => exception is WorkerFailedException { NothingSent: true } && !wasSent;

    /// <summary>What is answered when a request, a worker or code is at fault; says it to the log, where the client is not told all.</summary>
    public static (int StatusCode, string Text) OfFailure(ILogger log, Exception exception, bool wasSent)
    {
        switch (exception)
        {
            case BadHttpRequestException bad:
                return (bad.StatusCode, TextOf(bad));
            case WorkerFailedException failed:
                int status = WasNotRun(failed, wasSent) ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status502BadGateway;
                Log.WorkerFailed(log, status, failed.Message);
                return (status, failed.Message);
            default:
                return OfBroken(log, exception);
        }
    }

    /// <summary>Kestrel names an option of its own where a body comes too slowly, which says nothing to who sends it or runs the server.</summary>
    private static string TextOf(BadHttpRequestException bad) =>
        bad.Message.Contains("MinRequestBodyDataRate", StringComparison.Ordinal) ? SlowClient.BodyTooSlow : bad.Message;

    private static (int StatusCode, string Text) OfBroken(ILogger log, Exception exception)
    {
        Log.RequestFailed(log, exception);
        return (StatusCodes.Status500InternalServerError, "Internal Server Error");
    }

    /// <summary>Code threw what nobody foresaw: the log has it, and the client is not told more.</summary>
    public Task BrokenAsync(Exception exception) => ErrorAsync(OfBroken(log, exception));

    /// <summary>The response of a handler that failed has begun and can only be broken off.</summary>
    public static void LogBrokenOff(ILogger log, Exception exception)
    {
        switch (exception)
        {
            case BadHttpRequestException:
                Log.RequestBodyBroken(log, exception.Message);
                break;
            case WorkerFailedException:
                Log.WorkerBrokeOff(log, exception.Message);
                break;
            default:
                Log.RequestBrokenOff(log, exception);
                break;
        }
    }

    /// <summary>The time of a request whose response has begun is over: the client is told nothing more, and the access log has the status that was sent.</summary>
    /// <param name="log">For lines about one request.</param>
    /// <param name="timeout">What it was.</param>
    /// <param name="isStreams">It was that of streamed responses.</param>
    public static void LogTimedOut(ILogger log, TimeSpan timeout, bool isStreams) =>
        Log.ResponseTimedOut(log, isStreams ? "stream_timeout_s" : "request_timeout_s (or the client's x-request-timeout-seconds)", timeout.TotalSeconds);

    private Task ErrorAsync((int StatusCode, string Text) failure) => ErrorAsync(failure.StatusCode, failure.Text);

    private Task ErrorAsync(int statusCode, string message) => WriteAsync(statusCode, Encoding.UTF8.GetBytes(message));

    private Task WriteAsync(int statusCode, ReadOnlyMemory<byte> message)
    {
        _response.StatusCode = statusCode;
        _response.Headers.ContentType = PlainText;

        // A body that nobody will read: without this the client would go on sending it before it could send anything else.
        if (_features[typeof(IHttpRequestBodyDetectionFeature)] is IHttpRequestBodyDetectionFeature { CanHaveBody: true })
        {
            CloseConnection();
        }

        _response.Headers.ContentLength = message.Length;
        ValueTask<FlushResult> write = _body.Writer.WriteAsync(message);
        return write.IsCompletedSuccessfully ? Task.CompletedTask : write.AsTask();
    }
}
