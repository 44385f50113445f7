using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>The HTTP road to one worker: sends requests over connections that are kept and used again, the one used last first.</summary>
/// <param name="endPoint">Where the worker listens.</param>
/// <param name="time">The clock.</param>
/// <param name="loops">Where what waits for the worker goes on.</param>
/// <param name="token">What the server shows when it asks on its own behalf; <see langword="null"/> = nothing.</param>
/// <param name="onRefused">Told of each connection that nobody was there to take.</param>
internal sealed class WorkerConnections(EndPoint endPoint, TimeProvider time, EventLoops loops, string? token = null, Action? onRefused = null) : IDisposable
{
    private readonly IdleConnections[] _idle = [.. Enumerable.Range(0, loops.Count).Select(_ => new IdleConnections(time, loops.Count))];
    private readonly WorkerConnector _connector = new(endPoint, time, loops) { OnRefused = onRefused };

    /// <summary>Until then what may not be repeated goes over a new connection; a timestamp.</summary>
    private long _avoidsKeptUntil = long.MinValue;

    public EndPoint EndPoint { get; } = endPoint;

    /// <summary>Told of each request that the worker has answered.</summary>
    public Action? OnAnswered { get; init; }

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
    public async ValueTask SendAsync(IFeatureCollection features, CancellationToken cancellationToken)
    {
        ContextCall call = new(features);
        if (features.GetRequiredFeature<IHttpRequestFeature>() is var request && HttpMethods.IsConnect(request.Method) && !UpgradeOffer.IsExtendedConnect(features))
        {
            throw new BadHttpRequestException("A worker takes no CONNECT requests.", StatusCodes.Status405MethodNotAllowed);
        }

        WorkerFailedException? stale = null;
        if (TakeIdle(call.MayBeSentAgain, sendsSoon: false, loops.Current) is { } kept)
        {
            try
            {
                await call.RunAsync(kept, this, cancellationToken);
                return;
            }
            catch (WorkerFailedException failure) when (failure.CanRepeat)
            {
                stale = failure;
            }
        }

        await SendOnNewAsync(call, stale, cancellationToken);
    }

    /// <summary>Sends a plain request and passes the worker's response on to its client.</summary>
    /// <inheritdoc cref="SendAsync(IFeatureCollection, CancellationToken)"/>
    public ValueTask SendAsync(IPlainClient client, CancellationToken cancellationToken) => TakeIdle(client.MayBeSentAgain, sendsSoon: client.Loop == EventLoop.Current, client.Loop) is { } kept
        ? kept.PlainCall.RunAsync(client, this, isKept: true, cancellationToken)
        : SendOnNewAsync(new PlainClientCall(client), stale: null, cancellationToken);

    /// <summary>Sends a request over a new connection.</summary>
    /// <param name="call">The request.</param>
    /// <param name="stale">What came of it on a kept connection, from which it can be repeated; <see langword="null"/> = there was none.</param>
    /// <param name="cancellationToken">Ends the request.</param>
    public async ValueTask SendOnNewAsync<TCall>(TCall call, WorkerFailedException? stale, CancellationToken cancellationToken)
        where TCall : struct, IWorkerCall
    {
        bool wasSent = stale is { NothingSent: false };
        try
        {
            if (stale is not null && !call.MayBeSentAgain)
            {
                // It takes none that was not just used.
                AvoidKept();
                if (wasSent)
                {
                    throw stale;
                }
            }

            // Servers close idle connections, and the kept one was too old: a new one shows how the worker is.
            await call.RunAsync(await _connector.ConnectAsync(cancellationToken), this, cancellationToken);
        }
        catch (WorkerFailedException failure) when (failure.CanRepeat)
        {
            bool nothingSent = failure.NothingSent && !wasSent;
            throw new WorkerFailedException(failure.Message, failure)
            {
                NothingSent = nothingSent,
                CanRepeat = true,
                WorkerIsGone = nothingSent || !await AcceptsAsync(cancellationToken),
            };
        }
    }

    /// <summary>A connection has carried a request to its end.</summary>
    /// <param name="connection">Which.</param>
    /// <param name="canCarryAnother">Whether it is kept.</param>
    public void GiveBack(WorkerConnection connection, bool canCarryAnother)
    {
        OnAnswered?.Invoke();
        if (canCarryAnother)
        {
            _idle[connection.Loop.Index].Put(connection);
        }
        else
        {
            connection.Dispose();
        }
    }

    /// <summary>Closes the connections that are idle, and those in use when their requests have ended.</summary>
    public void Dispose()
    {
        foreach (IdleConnections idle in _idle)
        {
            idle.Dispose();
        }
    }

    /// <summary>
    /// One of its own loop's, or else of another's: a worker is to have no more connections than it has requests at a time, since there are some that can carry on only one. It goes to the request's
    /// loop, which has the client's connection too: where it went to the loop that gives out the permits, that one would soon have all of a busy deployment's.
    /// </summary>
    /// <param name="canRepeat">Whether the request can be sent again if the connection turns out to be closed.</param>
    /// <param name="sendsSoon">See <see cref="WorkerConnection.IsUsable"/>.</param>
    /// <param name="loop">The request's; <see langword="null"/> = none, and the connection stays where it is.</param>
    private WorkerConnection? TakeIdle(bool canRepeat, bool sendsSoon, EventLoop? loop)
    {
        if (!canRepeat && time.GetTimestamp() < Volatile.Read(ref _avoidsKeptUntil))
        {
            _ = Array.Exists(_idle, static idle => idle.TryCloseOne());
            return null;
        }

        int own = (loop ?? loops.Emptiest).Index;
        bool closedYoung = false;
        WorkerConnection? taken = null;
        for (int i = 0; i < _idle.Length && taken is null; i++)
        {
            taken = _idle[(own + i) % _idle.Length].Take(canRepeat, sendsSoon, ref closedYoung);
            if (taken is not null && !taken.TryMoveTo(loop))
            {
                taken.Dispose();
                taken = null;
            }
        }

        if (closedYoung)
        {
            AvoidKept();
        }

        return taken;
    }

    /// <summary>
    /// One was found closed that had just been used. There are workers that close each connection after its answer and do not say so: whether they are about to, no look at a connection can tell.
    /// </summary>
    private void AvoidKept() => Volatile.Write(ref _avoidsKeptUntil, time.GetTimestamp() + (long)(IdleConnections.Longest.TotalSeconds * time.TimestampFrequency));

    private async Task<bool> AcceptsAsync(CancellationToken cancellationToken)
    {
        try
        {
            await ConnectAsync(cancellationToken);
            return true;
        }
        catch (WorkerFailedException)
        {
            return false;
        }
    }
}
