using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Proxy;

/// <summary>
/// A connection of which every request so far was a plain one for a worker. Such requests go their own short way: they are read, passed on and answered as bytes, which takes three fifths of the time of
/// making a context of each. With the first request of another kind, Kestrel has the connection, and keeps it.
/// </summary>
internal sealed class PlainConnection(ProxyApplication proxy, ClientConnection connection, ServingConnection serving)
{
    private readonly PlainRequest _request = new();
    private PlainExchange? _exchange;

    /// <summary>Serves plain requests for as long as they come.</summary>
    /// <returns>Whether the connection has ended. If not, its next request is Kestrel's, and untouched.</returns>
    public async Task<bool> ServeAsync()
    {
        CancellationToken closeRequested = connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? default;
        using CancellationTokenRegistration wake = closeRequested.UnsafeRegister(static input => ((PipeReader)input!).CancelPendingRead(), connection.Input);
        using CancellationTokenRegistration left = connection.ConnectionClosed.UnsafeRegister(static plain => ((PlainConnection)plain!)._exchange?.ClientLeaves(), this);
        while (true)
        {
            ReadResult read;
            try
            {
                read = await connection.Input.ReadAsync();
            }
            catch (Exception exception) when (exception is ConnectionResetException or ConnectionAbortedException)
            {
                return true;
            }

            if (read.Buffer.IsEmpty && (read.IsCompleted || read.IsCanceled))
            {
                if (read.IsCompleted || (closeRequested.IsCancellationRequested ? !connection.HasArrived : serving.IsIdleFor(proxy.Settings.KeepAliveTimeout)))
                {
                    return true;
                }

                // It was to be closed, and a request is faster: that one is answered.
                connection.Input.AdvanceTo(read.Buffer.Start);
                continue;
            }

            if (!TryRead(read.Buffer, out int length, out ServedApplication? application))
            {
                connection.Input.AdvanceTo(read.Buffer.Start);
                return false;
            }

            serving.RequestBegins();
            _exchange ??= new(proxy, connection, _request);
            PlainEnd end = await _exchange.ServeAsync(application, read, length);
            serving.RequestEnds();
            if (end == PlainEnd.CloseAfterBody)
            {
                await _exchange.TakeBodyAsync();
            }

            if (end != PlainEnd.Next || closeRequested.IsCancellationRequested)
            {
                return end != PlainEnd.IsOther;
            }
        }
    }

    private bool TryRead(in ReadOnlySequence<byte> buffer, out int length, [NotNullWhen(true)] out ServedApplication? application)
    {
        application = null;

        // What has come is in one piece. Whoever follows requests by spans gets those of the long way.
        return _request.TryRead(buffer.FirstSpan, out length) && TryMatch(out application) && application.Ingress.Definition.PassesOn && _request.BodyLength <= proxy.Settings.MaxRequestBodyBytes && !proxy.Environment.Telemetry.Spans.HasListeners();
    }

    [SkipLocalsInit]
    private bool TryMatch([NotNullWhen(true)] out ServedApplication? application)
    {
        ReadOnlySpan<byte> path = _request.Path;
        Span<char> text = path.Length <= 256 ? stackalloc char[256] : new char[path.Length];
        Encoding.ASCII.GetChars(path, text);
        return proxy.Routes.TryMatch(text[..path.Length], out application);
    }
}
