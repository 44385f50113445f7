using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Serve.Embedded.Replicas;

/// <summary>
/// A thread that tells its connections, those of clients and those to workers, that there is something to read. The runtime's own sockets try each read before they wait for it and wake two threads for
/// what comes; a request or response that is nearly always waited for needs neither.
/// </summary>
internal sealed unsafe partial class EventLoop
{
    /// <summary>How much of what has come is a turn.</summary>
    private const int Batch = 16;

    /// <summary>How much a look shows. The rest of it waits for its turn, and is known all the same: nothing is sent to a worker whose connection has news.</summary>
    private const int MostHeard = 256;

    /// <summary>So much of it is done before the thread looks again for what has come: a queue that ends all at once would keep it for long.</summary>
    private const int MostAtOnce = 64;

    private const int CloseOnExec = 0x80000;
    private const uint In = 0x001;
    private const uint Error = 0x008;
    private const uint HangUp = 0x010;
    private const uint PeerClosed = 0x2000;
    private const uint EdgeTriggered = 1u << 31;

    /// <summary>The kernel's structure is packed on x64 alone.</summary>
    private static readonly int EventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;
    private static readonly int DataOffset = EventSize - sizeof(ulong);

    [ThreadStatic]
    private static EventLoop? t_current;

    /// <summary>What it waits for is outside the process, whatever a test has for a clock.</summary>
    private static readonly TimeProvider Clock = TimeProvider.System;

    private readonly int _epoll;
    private readonly Lock _lock = new();
    private readonly Stack<int> _free = [];
    private readonly Queue<Place> _heard = new(Batch);
    private readonly Queue<IThreadPoolWorkItem> _left = new(Batch);
    private Place?[] _places = [];
    private uint _registrations;
    private int _count;
    private bool _hasHeardAll;
    private readonly bool _looksAgain;
    private Patience _patience;

    /// <param name="index">Its place among the others.</param>
    /// <param name="continuesHere">See <see cref="ContinuesHere"/>.</param>
    public EventLoop(int index, bool continuesHere)
    {
        Index = index;
        ContinuesHere = continuesHere;

        // Where others go on, they do this: the thread pool has a way of its own.
        _looksAgain = continuesHere && OwnProcessors.AreToSpare;
        _epoll = EpollCreate(CloseOnExec);
        if (_epoll < 0)
        {
            throw new SocketException(Marshal.GetLastPInvokeError());
        }

        new Thread(Run) { IsBackground = true, Name = "sockets" }.UnsafeStart();
    }

    /// <summary>Whose thread this is; <see langword="null"/> = it is of another kind.</summary>
    public static EventLoop? Current => t_current;

    public int Index { get; }

    /// <summary>Whether who waits goes on at once, on the thread that learns of it: all that runs there must be the server's own. Else it goes on in the thread pool, where it may block.</summary>
    public bool ContinuesHere { get; }

    /// <summary>Its connections.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>
    /// Does something at the end of this turn, in which what had come at its beginning is handled. It is known then whose connections have something new to read
    /// (<see cref="MayHaveNews"/>), though they are told only after it. For the loop's own thread.
    /// </summary>
    public void AtEndOfTurn(IThreadPoolWorkItem item) => _left.Enqueue(item);

    /// <summary>Whether something had come when the loop last looked that the connection has not been told. For the loop's own thread.</summary>
    /// <param name="registration">The connection's.</param>
    public bool MayHaveNews(ulong registration) => !_hasHeardAll || PlaceOf(registration) is not { HasNews: false };

    /// <summary>Begins to tell a connection.</summary>
    /// <returns>What <see cref="Remove"/> takes.</returns>
    public ulong Add(Socket socket, ReadSignal signal)
    {
        ulong key;
        lock (_lock)
        {
            if (!_free.TryPop(out int index))
            {
                index = _places.Length;
                Place?[] places = new Place?[Math.Max(16, index * 2)];
                _places.CopyTo(places, 0);
                for (int i = places.Length - 1; i > index; i--)
                {
                    _free.Push(i);
                }

                Volatile.Write(ref _places, places);
            }

            key = ((ulong)++_registrations << 32) | (uint)index;
            _places[index] = new(key, signal);
            _count++;
        }

        const int Adds = 1;
        if (Change(Adds, socket, key) is { } failure)
        {
            Remove(key);
            throw failure;
        }

        return key;
    }

    /// <summary>Tells a connection that another loop told until now, and that nobody reads at this moment.</summary>
    /// <param name="from">That loop.</param>
    /// <param name="registration">What it had returned.</param>
    /// <param name="socket">The connection's.</param>
    /// <param name="signal">The connection's.</param>
    /// <returns>What <see cref="Remove"/> takes.</returns>
    public ulong TakeOver(EventLoop from, ulong registration, Socket socket, ReadSignal signal)
    {
        const int Deletes = 2;
        if (from.Change(Deletes, socket, registration) is { } failure)
        {
            throw failure;
        }

        from.Remove(registration);
        return Add(socket, signal);
    }

    /// <summary>Forgets a connection. Closing its socket takes it out of the kernel's list.</summary>
    public void Remove(ulong key)
    {
        int index = (int)(uint)key;
        lock (_lock)
        {
            if (_places[index]?.Key == key)
            {
                _places[index] = null;
                _free.Push(index);
                _count--;
            }
        }
    }

    private SocketException? Change(int operation, Socket socket, ulong key)
    {
        byte* change = stackalloc byte[EventSize];
        *(uint*)change = In | PeerClosed | EdgeTriggered;
        *(ulong*)(change + DataOffset) = key;
        return EpollControl(_epoll, operation, (int)socket.SafeHandle.DangerousGetHandle(), change) == 0 ? null : new(Marshal.GetLastPInvokeError());
    }

    [DoesNotReturn]
    private void Run()
    {
        t_current = this;
        byte* events = stackalloc byte[EventSize * MostHeard];
        while (true)
        {
            if (_left.Count > 0)
            {
                Hear(events, EpollWait(_epoll, events, MostHeard, 0));
            }
            else if (_heard.Count == 0)
            {
                Hear(events, Wait(events));
            }

            DoWhatIsLeft();
            for (int count = Math.Min(_heard.Count, Batch); count > 0; count--)
            {
                Tell(_heard.Dequeue());
            }
        }
    }

    /// <summary>Those of whom there are events wait to be told, each once.</summary>
    private void Hear(byte* events, int count)
    {
        for (int i = 0; i < count; i++)
        {
            byte* one = events + (i * EventSize);
            if (PlaceOf(*(ulong*)(one + DataOffset)) is { } place)
            {
                place.HasEnded |= (*(uint*)one & (PeerClosed | HangUp | Error)) != 0;
                if (!place.HasNews)
                {
                    place.HasNews = true;
                    _heard.Enqueue(place);
                }
            }
        }

        _hasHeardAll = count is >= 0 and < MostHeard;
    }

    private void Tell(Place place)
    {
        place.HasNews = false;
        if (PlaceOf(place.Key) == place)
        {
            place.Signal.Set(place.HasEnded);
        }
    }

    /// <summary>Waits for what comes.</summary>
    private int Wait(byte* events)
    {
        int count = 0;
        long start = Clock.GetTimestamp();
        if (_looksAgain && _patience.ExpectsSoon(start))
        {
            long now = start;
            while ((count = EpollWait(_epoll, events, MostHeard, 0)) == 0 && now - start < Patience.Longest)
            {
                Thread.Yield();
                long before = now;
                now = Clock.GetTimestamp();
                _patience.HasLooked(before, now);
            }
        }

        if (count == 0)
        {
            count = EpollWait(_epoll, events, MostHeard, -1);
        }

        _patience.HasWaited(start, Clock.GetTimestamp());
        return count;
    }

    /// <returns><see langword="null"/> = the connection has been forgotten.</returns>
    private Place? PlaceOf(ulong key) => Volatile.Read(ref _places)[(int)(uint)key] is { } place && place.Key == key ? place : null;

    /// <summary>What that leaves in turn comes after what has come since.</summary>
    private void DoWhatIsLeft()
    {
        for (int count = Math.Min(_left.Count, MostAtOnce); count > 0; count--)
        {
            _left.Dequeue().Execute();
        }
    }

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollControl(int epoll, int operation, int descriptor, byte* change);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int EpollWait(int epoll, byte* events, int most, int timeout);

    /// <param name="key">Which registration it is: an event that was on its way to an earlier one finds another key.</param>
    /// <param name="signal">What to set.</param>
    private sealed class Place(ulong key, ReadSignal signal)
    {
        public ulong Key => key;

        public ReadSignal Signal => signal;

        /// <summary>It waits to be told. For the loop's own thread, as is the next.</summary>
        public bool HasNews { get; set; }

        /// <summary>The other side has sent its last.</summary>
        public bool HasEnded { get; set; }
    }
}
