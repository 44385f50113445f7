using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Serve.Embedded.Replicas;

/// <summary>
/// Tells connections, those of clients and those to workers, that there is something to read. The runtime's own sockets try each read before they wait for it and wake two threads for
/// what comes; a request or response that is nearly always waited for needs neither. One for the whole process, since its threads are few.
/// </summary>
internal sealed unsafe partial class ReadEvents
{
    /// <summary>What a thread takes at once: what it does first holds up the rest, which another thread could do.</summary>
    private const int Batch = 4;

    private const int CloseOnExec = 0x80000;
    private const uint In = 0x001;
    private const uint Error = 0x008;
    private const uint HangUp = 0x010;
    private const uint PeerClosed = 0x2000;
    private const uint EdgeTriggered = 1u << 31;

    /// <summary>The kernel's structure is packed on x64 alone.</summary>
    private static readonly int EventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;
    private static readonly int DataOffset = EventSize - sizeof(ulong);

    private static readonly Lazy<ReadEvents> InThreadPool = new(static () => new(threads: 1, continuesHere: false));
    private static readonly Lazy<ReadEvents> OnOwnThreads = new(static () => new(Math.Max(2, Environment.ProcessorCount), continuesHere: true));

    private readonly int _epoll;
    private readonly Lock _lock = new();
    private readonly Stack<int> _free = [];
    private Place?[] _places = [];
    private uint _registrations;

    private ReadEvents(int threads, bool continuesHere)
    {
        ContinuesHere = continuesHere;
        _epoll = EpollCreate(CloseOnExec);
        if (_epoll < 0)
        {
            throw new SocketException(Marshal.GetLastPInvokeError());
        }

        for (int i = 0; i < threads; i++)
        {
            new Thread(Run) { IsBackground = true, Name = "sockets" }.UnsafeStart();
        }
    }

    /// <summary>Whether who waits goes on at once, on the thread that learns of it: all that runs there must be the server's own. Else it goes on in the thread pool, where it may block.</summary>
    public bool ContinuesHere { get; }

    /// <inheritdoc cref="ContinuesHere"/>
    public static ReadEvents For(bool onEventThreads) => (onEventThreads ? OnOwnThreads : InThreadPool).Value;

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
            }
        }
    }

    [DoesNotReturn]
    private void Run()
    {
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
