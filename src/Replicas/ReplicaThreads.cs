using Serve.Embedded.Deployments;

namespace Serve.Embedded.Replicas;

/// <summary>
/// The threads of one replica with a blocking handler: created when first needed, never more than the permits that can be out at once,
/// given back after <see cref="IdleTime"/> without work. Work comes from permit holders only, so it never waits here for longer than a thread takes to wake.
/// </summary>
internal sealed class ReplicaThreads : IReplicaThreads, IDisposable
{
    public static readonly TimeSpan IdleTime = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly string _name;
    private readonly TimeProvider _time;
    private readonly ITimer _reaper;

    /// <summary>Idle threads, the one that worked last on top, so that those at the bottom grow old.</summary>
    private readonly List<Worker> _idle = [];

    private int _count;
    private bool _reaping;
    private bool _disposed;

    public ReplicaThreads(string name, TimeProvider time)
    {
        _name = name;
        _time = time;
        _reaper = time.CreateTimer(static threads => ((ReplicaThreads)threads!).ReleaseIdle(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Threads that exist, busy or idle.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _count;
            }
        }
    }

    /// <summary>Runs the work on a thread of its own, with the caller's ambient context.</summary>
    public void Run(IBlockingWork work)
    {
        ExecutionContext? context = ExecutionContext.Capture();
        Worker worker;
        lock (_gate)
        {
            if (_idle.Count > 0)
            {
                worker = _idle[^1];
                _idle.RemoveAt(_idle.Count - 1);
            }
            else
            {
                worker = new(this);
                _count++;
            }
        }

        worker.Give(work, context);
    }

    public ValueTask<TResult> RunAsync<TResult>(Func<TResult> work) => BlockingCall<TResult>.RunAsync(this, work);

    /// <summary>Lets idle threads go now and busy ones when they are done.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            foreach (Worker worker in _idle)
            {
                worker.Give(null, null);
            }

            _count -= _idle.Count;
            _idle.Clear();
        }

        _reaper.Dispose();
    }

    /// <summary>The worker is idle from now on; <see langword="false"/> if it must end.</summary>
    private bool TryPark(Worker worker)
    {
        lock (_gate)
        {
            if (_disposed)
            {
                _count--;
                return false;
            }

            worker.IdleSince = _time.GetTimestamp();
            _idle.Add(worker);
            if (!_reaping)
            {
                _reaping = true;
                _reaper.Change(IdleTime, IdleTime);
            }

            return true;
        }
    }

    private void ReleaseIdle()
    {
        lock (_gate)
        {
            int old = 0;
            while (old < _idle.Count && _time.GetElapsedTime(_idle[old].IdleSince) >= IdleTime)
            {
                _idle[old].Give(null, null);
                old++;
            }

            _idle.RemoveRange(0, old);
            _count -= old;
            if (_count == 0)
            {
                _reaping = false;
                _reaper.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private sealed class Worker
    {
        private readonly ReplicaThreads _owner;
        private readonly SemaphoreSlim _given = new(0);
        private Thread? _thread;
        private IBlockingWork? _work;
        private ExecutionContext? _context;

        public Worker(ReplicaThreads owner) => _owner = owner;

        public long IdleSince { get; set; }

        /// <summary>Hands over one piece of work; <see langword="null"/> ends the thread.</summary>
        public void Give(IBlockingWork? work, ExecutionContext? context)
        {
            _work = work;
            _context = context;
            if (_thread is null)
            {
                _thread = new(Loop) { IsBackground = true, Name = _owner._name };
                _thread.UnsafeStart();
            }

            _given.Release();
        }

        private void Loop()
        {
            bool goesOn = true;
            while (goesOn)
            {
                _given.Wait();
                if (_work is not { } work)
                {
                    return;
                }

                ExecutionContext? context = _context;
                _work = null;
                _context = null;
                if (context is null)
                {
                    work.Execute();
                }
                else
                {
                    ExecutionContext.Run(context, static w => ((IBlockingWork)w!).Execute(), work);
                }

                // Idle first: the caller gives its permit to somebody who would otherwise find no idle thread, and make one too many.
                goesOn = _owner.TryPark(this);
                work.Complete();
            }
        }
    }
}

/// <summary>What a replica's thread does, and how it says so.</summary>
internal interface IBlockingWork
{
    /// <summary>Does it. Throws nothing.</summary>
    void Execute();

    /// <summary>Lets the caller go on, elsewhere. The thread may have its next work already.</summary>
    void Complete();
}
