using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>The HTTP road to one worker: sends requests over connections that are kept and used again, the one used last first.</summary>
/// <param name="endPoint">Where the worker listens.</param>
/// <param name="time">The clock.</param>
/// <param name="events">Where what waits for the worker goes on.</param>
/// <param name="token">What the server shows when it asks on its own behalf; <see langword="null"/> = nothing.</param>
internal sealed class WorkerConnections(EndPoint endPoint, TimeProvider time, ReadEvents events, string? token = null) : IDisposable
{
    private readonly IdleConnections _idle = new(time);
    private readonly WorkerConnector _connector = new(endPoint, time, events);

    /// <summary>Asks the worker something on the server's own behalf.</summary>
    /// <returns>Whatever it answered, whichever status that has.</returns>
    /// <exception cref="WorkerFailedException">It did not answer as it should.</exception>
    public Task<WorkerAnswer> GetAsync(string path, CancellationToken cancellationToken) =>
        new WorkerProbe(_connector, token).AskAsync(HttpMethods.Get, path, json: null, cancellationToken);

    /// <inheritdoc cref="GetAsync"/>
    public Task<WorkerAnswer> PostAsync(string path, ReadOnlyMemory<byte> json, CancellationToken cancellationToken) =>
        new WorkerProbe(_connector, token).AskAsync(HttpMethods.Post, path, json, cancellationToken);

    /// <summary>Makes a connection and closes it: the worker takes some.</summary>
    /// <exception cref="WorkerFailedException">Nobody listens there.</exception>
    public async Task ConnectAsync(CancellationToken cancellationToken) => (await _connector.ConnectAsync(cancellationToken)).Dispose();

    /// <summary>Sends a request and passes the worker's response on to its client.</summary>
    /// <exception cref="WorkerFailedException">The worker did not answer as it should. If the response has begun, it can only be broken off.</exception>
    /// <exception cref="OperationCanceledException">The request was ended.</exception>
    /// <exception cref="BadHttpRequestException">The client's request is at fault.</exception>
    public async ValueTask SendAsync(HttpContext context, CancellationToken cancellationToken)
    {
        IFeatureCollection features = context.Features;
        string method = features.GetRequiredFeature<IHttpRequestFeature>().Method;
        if (HttpMethods.IsConnect(method))
        {
            throw new BadHttpRequestException("A worker takes no CONNECT requests.", StatusCodes.Status405MethodNotAllowed);
        }

        bool isIdempotent = IdempotentMethods.Contain(method);
        WorkerConnection? kept = _idle.Take(isIdempotent);
        bool sent = false;
        if (kept is not null)
        {
            try
            {
                await RunAsync(kept, features, cancellationToken);
                return;
            }
            catch (WorkerFailedException stale) when (stale.CanRepeat && (stale.NothingSent || isIdempotent))
            {
                // Servers close idle connections, and this one was too old: a new one shows how the worker is.
                sent = !stale.NothingSent;
            }
        }

        try
        {
            await RunAsync(await _connector.ConnectAsync(cancellationToken), features, cancellationToken);
        }
        catch (WorkerFailedException failure) when (sent && failure.NothingSent)
        {
            throw new WorkerFailedException(failure.Message, failure) { CanRepeat = failure.CanRepeat };
        }
    }

    /// <summary>Closes the connections that are idle, and those in use when their requests have ended.</summary>
    public void Dispose() => _idle.Dispose();

    private async ValueTask RunAsync(WorkerConnection connection, IFeatureCollection features, CancellationToken cancellationToken)
    {
        if (await connection.Call.RunAsync(features, cancellationToken))
        {
            _idle.Put(connection);
        }
        else
        {
            connection.Dispose();
        }
    }
}
