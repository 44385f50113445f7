namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Connections to a worker that wait for their next request, those of one loop. Taking and giving back costs one exchange each; the lowest places are used first, so that
/// what is not needed grows old.
/// </summary>
internal sealed class IdleConnections : IDisposable
{
    /// <summary>Of all loops. More are not kept: the rest would only be needed for a moment.</summary>
    private const int Most = 256;

    /// <summary>Of one loop, however many there are.</summary>
    private const int Fewest = 64;

    /// <summary>How long one may be idle.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(60);

    /// <summary>A request that may not be repeated takes none that was idle for longer: its server may be about to close it. Servers count in seconds, from one on, and a new connection costs next to nothing.</summary>
    public static readonly TimeSpan JustUsed = TimeSpan.FromSeconds(0.5);

    private readonly TimeProvider _time;
    private readonly WorkerConnection?[] _places;
    private readonly ITimer _timer;
    private int _used;
    private bool _timed;
    private bool _disposed;

    /// <param name="time">The clock.</param>
    /// <param name="loops">How many loops there are.</param>
    public IdleConnections(TimeProvider time, int loops)
    {
        _time = time;
        _places = new WorkerConnection?[Math.Max(Fewest, Most / loops)];
        _timer = time.CreateTimer(static idle => ((IdleConnections)idle!).CloseOld(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>A connection that is open, as far as can be known.</summary>
    /// <param name="canRepeat">Whether the request can be sent again if it is not.</param>
    /// <param name="sendsSoon">See <see cref="WorkerConnection.IsUsable"/>.</param>
    /// <param name="closedYoung">Becomes true where one was found closed that had just been used.</param>
    public WorkerConnection? Take(bool canRepeat, bool sendsSoon, ref bool closedYoung)
    {
        int used = Volatile.Read(ref _used);
        for (int i = 0; i < used; i++)
        {
            if (Volatile.Read(ref _places[i]) is null || Interlocked.Exchange(ref _places[i], null) is not { } connection)
            {
                continue;
            }

            TimeSpan idle = _time.GetElapsedTime(connection.IdleSince);
            if (idle <= Longest && connection.IsUsable(sendsSoon))
            {
                if (canRepeat || idle <= JustUsed)
                {
                    return connection;
                }

                // It is good enough for others.
                Put(connection, connection.IdleSince);
                return null;
            }

            closedYoung |= idle <= JustUsed;
            connection.Dispose();
        }

        return null;
    }

    /// <summary>Closes one, in whose place another is made.</summary>
    /// <returns>Whether there was one.</returns>
    public bool TryCloseOne()
    {
        for (int i = 0; i < Volatile.Read(ref _used); i++)
        {
            if (Interlocked.Exchange(ref _places[i], null) is { } connection)
            {
                connection.Dispose();
                return true;
            }
        }

        return false;
    }

    public void Put(WorkerConnection connection) => Put(connection, _time.GetTimestamp());

    public void Dispose()
    {
        // A full fence, as whoever puts one back has: of the two at least one sees the other, and nobody's connection is left open.
        Interlocked.Exchange(ref _disposed, true);
        _timer.Dispose();
        Close(all: true);
    }

    private void Put(WorkerConnection connection, long idleSince)
    {
        connection.IdleSince = idleSince;
        for (int i = 0; i < _places.Length; i++)
        {
            if (_places[i] is null && Interlocked.CompareExchange(ref _places[i], connection, null) is null)
            {
                if (i >= Volatile.Read(ref _used))
                {
                    RaiseUsed(i + 1);
                }

                if (!Volatile.Read(ref _timed))
                {
                    SetTimer();
                }

                if (Volatile.Read(ref _disposed))
                {
                    Close(all: true);
                }

                return;
            }
        }

        connection.Dispose();
    }

    private void RaiseUsed(int used)
    {
        int seen = Volatile.Read(ref _used);
        while (seen < used)
        {
            int now = Interlocked.CompareExchange(ref _used, used, seen);
            if (now == seen)
            {
                return;
            }

            seen = now;
        }
    }

    private void SetTimer()
    {
        Volatile.Write(ref _timed, true);
        if (!Volatile.Read(ref _disposed))
        {
            _timer.Change(Longest, Timeout.InfiniteTimeSpan);
        }
    }

    private void CloseOld()
    {
        Volatile.Write(ref _timed, false);
        if (Close(all: false))
        {
            SetTimer();
        }
    }

    /// <returns>Whether some are left.</returns>
    private bool Close(bool all)
    {
        bool left = false;
        for (int i = 0; i < Volatile.Read(ref _used); i++)
        {
            if (Interlocked.Exchange(ref _places[i], null) is not { } connection)
            {
                continue;
            }

            if (!all && _time.GetElapsedTime(connection.IdleSince) < Longest &&
                Interlocked.CompareExchange(ref _places[i], connection, null) is null)
            {
                left = true;
                continue;
            }

            connection.Dispose();
        }

        return left;
    }
}
