using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>What those are told who want to know of a request: the access log, instruments and spans. Where nobody does, it costs a few looks.</summary>
internal struct RequestRecord
{
    private const int ClientClosedRequest = 499;

    private Activity? _span;
    private CallObservation _observation;

    /// <summary>When the request began, by the clock of the server.</summary>
    public long StartedAt { get; private set; }

    public void Begin(TimeProvider time) => StartedAt = time.GetTimestamp();

    /// <summary>Begins its span, as the ambient one of the calling asynchronous method.</summary>
    public void BeginSpan(ServeTelemetry telemetry, IHttpRequestFeature request, string requestId)
    {
        if (telemetry.Spans.HasListeners())
        {
            _span = RequestSpan.Begin(telemetry.Spans, request, requestId);
        }
    }

    /// <summary>The deployment is asked to take it.</summary>
    public void Asks(ServedDeployment deployment)
    {
        if (deployment.Telemetry.HearsCalls)
        {
            _observation = new(deployment, StartedAt);
        }
    }

    /// <summary>The deployment cannot run it, and another is asked.</summary>
    public void IsUnavailable() => _observation.End("unavailable");

    public void Waits() => _observation.Waits();

    public void Runs(Replica replica)
    {
        if (_observation.IsHeard)
        {
            _observation.Runs(replica);
        }
    }

    /// <param name="trouble">Why the handler did not end well; <see langword="null"/> = it did.</param>
    public void Worked(string? trouble)
    {
        if (_observation.IsHeard)
        {
            _observation.Worked(trouble);
        }
    }

    /// <summary>The request is answered: says so to all who want to know.</summary>
    /// <param name="proxy">Whose logs and instruments they are.</param>
    /// <param name="method">What was asked.</param>
    /// <param name="host">How it came in, if an application handed it over in which the server is embedded.</param>
    /// <param name="path">Its path, below the host's endpoint.</param>
    /// <param name="statusCode">Of its response; <see langword="null"/> = the client left before there was one.</param>
    /// <param name="scope">What is known of it.</param>
    /// <param name="ingress">Of its application; <see langword="null"/> = there was none for it.</param>
    public void Answered(ProxyApplication proxy, string method, HostRequest? host, string path, int? statusCode, RequestScope scope, ServedDeployment? ingress)
    {
        ServeTelemetry telemetry = proxy.Environment.Telemetry;
        HttpCounts counts = ingress?.Http ?? telemetry.Deployments.Elsewhere;
        int status = statusCode ?? ClientClosedRequest;
        bool isLogged = proxy.AccessLog.IsEnabled;
        bool isTimed = telemetry.HearsHttp;
        if (!isTimed)
        {
            counts.Answered(method, status, scope.Route, latency: null);
            if (!isLogged && !_observation.IsHeard && _span is null)
            {
                return;
            }
        }

        TimeSpan latency = proxy.Environment.Time.GetElapsedTime(StartedAt);
        if (isLogged)
        {
            proxy.AccessLog.Write(method, host is null ? scope.Route ?? path : host.RouteForLog(scope.Route, path), status, latency, scope);
        }

        if (isTimed)
        {
            telemetry.HttpAnswered(counts, method, scope, status, latency);
        }

        if (_observation.IsHeard)
        {
            _observation.End(status < StatusCodes.Status400BadRequest ? null : RequestSpan.TextOf(status));
            _observation = default;
        }

        RequestSpan.End(_span, scope, status);
        _span = null;
    }
}
