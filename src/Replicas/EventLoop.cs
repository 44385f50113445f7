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
    /// <summary>Of what has come, the thread takes so much at once: the kernel is asked once for all of it, and what a busy worker is sent in one go it also reads in one go.</summary>
    private const int Batch = 64;

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

    private readonly int _epoll;
    private readonly Lock _lock = new();
    private readonly Stack<int> _free = [];
    private Place?[] _places = [];
    private uint _registrations;
    private int _count;

    /// <param name="index">Its place among the others.</param>
    /// <param name="continuesHere">See <see cref="ContinuesHere"/>.</param>
    public EventLoop(int index, bool continuesHere)
    {
        Index = index;
        ContinuesHere = continuesHere;
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

        byte* change = stackalloc byte[EventSize];
        *(uint*)change = In | PeerClosed | EdgeTriggered;
        *(ulong*)(change + DataOffset) = key;
        const int Adds = 1;
        if (EpollControl(_epoll, Adds, (int)socket.SafeHandle.DangerousGetHandle(), change) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            Remove(key);
            throw new SocketException(error);
        }

        return key;
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

    [DoesNotReturn]
    private void Run()
    {
        t_current = this;
        byte* events = stackalloc byte[EventSize * Batch];
        while (true)
        {
            int count = EpollWait(_epoll, events, Batch, -1);
            for (int i = 0; i < count; i++)
            {
                byte* one = events + (i * EventSize);
                ulong key = *(ulong*)(one + DataOffset);
                Place? place = Volatile.Read(ref _places)[(int)(uint)key];
                if (place?.Key == key)
                {
                    place.Signal.Set((*(uint*)one & (PeerClosed | HangUp | Error)) != 0);
                }
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollControl(int epoll, int operation, int descriptor, byte* change);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int EpollWait(int epoll, byte* events, int most, int timeout);

    /// <param name="Key">Which registration it is: an event that was on its way to an earlier one finds another key.</param>
    /// <param name="Signal">What to set.</param>
    private sealed record Place(ulong Key, ReadSignal Signal);
}
