using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Sees to it that no worker outlives the server, however the server ends. A process of its own holds the reading end of a pipe; when the server is gone the pipe ends, and it kills every group that is listed and everyone who
/// carries the mark of this server's workers, and everybody in their control groups where there are any. (A parent-death signal would be bound to the thread that started the worker, and would miss its children.) The process is a shell, since that is there for
/// the executable and for a host of the library alike, at about a megabyte. It starts with the first worker.
/// </summary>
internal sealed class WorkerGuard(TimeProvider time, ILogger log, WorkerGroups groups) : IAsyncDisposable
{
    /// <summary>
    /// The mark closes two gaps: a worker that was started but not listed yet when the server died, and descendants with a session of their own. It is looked for until nobody is found twice,
    /// in case somebody forks meanwhile, or becomes another program and has no environment in that instant. (What grep ends with says nothing: processes that end while it reads are errors to it.)
    /// </summary>
    private const string Script =
        """
        groups=' '
        while read -r what group; do
          case $what in
            +) groups="$groups$group " ;;
            -) case $groups in *" $group "*) groups="${groups%% $group *} ${groups#* $group }" ;; esac ;;
          esac
        done
        [ -n "$2" ] && echo 1 > "$2/cgroup.kill"
        for group in $groups; do kill -9 "-$group"; done
        round=0
        quiet=0
        while [ $round -lt 20 ] && [ $quiet -lt 2 ]; do
          [ $quiet -eq 0 ] || sleep 0.05
          found=$(grep -lsF "$1" /proc/[0-9]*/environ)
          quiet=$((quiet + 1))
          for file in $found; do quiet=0; process=${file#/proc/}; kill -9 "${process%/environ}"; done
          round=$((round + 1))
        done
        round=0
        while [ -d "$2" ] && [ $round -lt 20 ]; do
          rmdir "$2" || find "$2" -depth -type d -exec rmdir {} + || sleep 0.1
          round=$((round + 1))
        done
        """;

    private static readonly TimeSpan ShortestLife = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(5);

    /// <summary>All that end a process or stop it from a terminal: the guard has work to do after those who send them. Blocked and not ignored, since that holds from its first instruction.</summary>
    private static readonly int[] Blocked = [1, 2, 3, 10, 12, 13, 14, 15, 20, 21, 22];

    private readonly PatientLogger _logger = new(log);
    private readonly Lock _gate = new();
    private readonly HashSet<int> _groups = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SafeFileHandle? _pipe;
    private ITimer? _restart;
    private long _started;
    private int _workers;
    private TimeSpan _pause = ShortestLife;
    private bool _isMissing;
    private bool _disposed;

    public TimeProvider Time => time;

    public ILogger Logger => _logger;

    public WorkerGroups Groups => groups;

    /// <summary>Kills what is left of a worker, given its leader and its mark.</summary>
    public Action<int, string> KillRemains { get; init; } = WorkerMark.KillRemains;

    /// <summary>What it is.</summary>
    public string Shell { get; init; } = "/bin/sh";

    /// <summary>What begins the marks of this guard's workers.</summary>
    public string MarkPrefix { get; } = OperatingSystem.IsLinux() ? WorkerMark.NewPrefix() : "";

    /// <summary>The guard's process number while it runs.</summary>
    public int? ProcessId { get; private set; }

    public string NextMark() => string.Create(CultureInfo.InvariantCulture, $"{MarkPrefix}{Interlocked.Increment(ref _workers)}");

    /// <summary>Starts the guard if it does not run: before the first worker, so that none is ever without.</summary>
    public void EnsureStarted()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_pipe is null && (_restart is null || _isMissing))
            {
                Start_NeedsLock();
            }
        }
    }

    public void Add(int group)
    {
        lock (_gate)
        {
            _groups.Add(group);
            Tell_NeedsLock($"+ {group}\n");
        }
    }

    /// <summary>Before the group's number can become somebody else's.</summary>
    public void Remove(int group)
    {
        lock (_gate)
        {
            _groups.Remove(group);
            Tell_NeedsLock($"- {group}\n");
        }
    }

    /// <summary>Ends the guard, which kills whatever is left of the workers.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _disposed = true;
            _restart?.Dispose();
            _pipe?.Dispose();
            _pipe = null;
            if (ProcessId is null)
            {
                _ended.TrySetResult();
            }
        }

        await Task.WhenAny(_ended.Task, Task.Delay(LongestEnd, time, CancellationToken.None));
    }

    private void Start_NeedsLock()
    {
        _restart?.Dispose();
        _restart = null;
        string? fault = TryStart_NeedsLock();
        if (fault is null)
        {
            if (_isMissing)
            {
                Log.WorkerGuardRuns(_logger, _groups.Count);
            }

            _isMissing = false;
            _pause = ShortestLife;
            return;
        }

        if (!_isMissing)
        {
            Log.WorkerGuardMissing(_logger, fault);
        }

        // What is missing comes back, or is put there.
        _isMissing = true;
        RestartIn_NeedsLock(_pause);
        _pause = _pause * 2 < LongestPause ? _pause * 2 : LongestPause;
    }

    /// <returns>Why it does not run; <see langword="null"/> = it does.</returns>
    private string? TryStart_NeedsLock()
    {
        SafePipeHandle read;
        SafeFileHandle write;
        try
        {
            ChildProcesses.Listen();
            (read, write) = NativeProcess.CreatePipe(writeNeverBlocks: true);
        }
        catch (WorkerStartException exception)
        {
            return exception.Message;
        }

        using (read)
        {
            // Only what it needs to find grep and its like.
            Dictionary<string, string> environment = new() { ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
            int error = SpawnedProcess.Start(
                Shell,
                ["sh", "-c", Script, "serve-worker-guard", $"{WorkerMark.Variable}={MarkPrefix}", groups.Folder ?? ""],
                environment,
                "/",
                read,
                output: null,
                error: null,
                Blocked,
                out int process);
            if (error != 0)
            {
                write.Dispose();
                return $"{Shell}: {Shortage.Of(error) ?? $"{Marshal.GetPInvokeErrorMessage(error)}. Install a shell there"}";
            }

            _pipe = write;
            ProcessId = process;
            _started = time.GetTimestamp();
            foreach (int group in _groups)
            {
                Tell_NeedsLock($"+ {group}\n");
            }

            ChildProcesses.Watch(process, () => OnEnded(process));
            return null;
        }
    }

    private void RestartIn_NeedsLock(TimeSpan wait) =>
        _restart = time.CreateTimer(static guard => ((WorkerGuard)guard!).Restart(), this, wait, Timeout.InfiniteTimeSpan);

    private void Tell_NeedsLock(string line)
    {
        // A pipe that is full means a guard that does not read, for as long as it takes to send thousands of lines: a new one will.
        if (_pipe is not null && !NativeProcess.WriteAll(_pipe, Encoding.ASCII.GetBytes(line)) && ProcessId is { } process)
        {
            NativeProcess.Signal(process, SignalNames.Kill);
        }
    }

    private void OnEnded(int process)
    {
        lock (_gate)
        {
            ProcessId = null;
            int? status = NativeProcess.Reap(process);
            _pipe?.Dispose();
            _pipe = null;
            if (_disposed)
            {
                _ended.TrySetResult();
                return;
            }

            Log.WorkerGuardDied(_logger, WorkerExit.Of(status).ToString(), _groups.Count);
            TimeSpan wait = ShortestLife - time.GetElapsedTime(_started);
            if (wait <= TimeSpan.Zero)
            {
                Start_NeedsLock();
            }
            else
            {
                // A guard that cannot live is not started over and over without a pause.
                RestartIn_NeedsLock(wait);
            }
        }
    }

    private void Restart()
    {
        lock (_gate)
        {
            // A worker's start may have been first.
            if (!_disposed && _pipe is null)
            {
                Start_NeedsLock();
            }
        }
    }
}
