using System.Globalization;
using Microsoft.Win32.SafeHandles;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// One worker: a program, its session and group, and what it writes. It ends when its leader does; what is left of it is killed then.
/// The leader stays a zombie until that is done, so that no signal meets a stranger who got its number.
/// </summary>
internal sealed class WorkerProcess
{
    private static readonly TimeSpan LongestDrain = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestKill = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);

    private readonly Lock _gate = new();
    private readonly TaskCompletionSource<WorkerExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly WorkerGuard _guard;
    private readonly WorkerOutput _output;
    private readonly string _mark;
    private readonly ControlGroup? _group;
    private readonly string? _memoryEvents;
    private long _killsWhenLastWell;
    private long _killsWhenWellBefore;
    private bool _asked;
    private bool _leaderEnded;
    private bool _reaped;

    private WorkerProcess(int id, string mark, ControlGroup? group, IReadOnlyList<string> refused, WorkerGuard guard, WorkerOutput output)
    {
        Id = id;
        Refused = refused;
        _mark = mark;
        _group = group;
        _memoryEvents = group?.MemoryEventsFile;
        _guard = guard;
        _output = output;
        _killsWhenLastWell = _killsWhenWellBefore = CountOutOfMemoryKills() ?? 0;
    }

    public int Id { get; }

    /// <summary>Completes when the worker has ended, nothing is left of it, and its last lines are read. It never fails.</summary>
    public Task<WorkerExit> Exited => _exited.Task;

    /// <summary>Its first process has ended; what it has left behind may not have. The system is asked, since its word of it comes later.</summary>
    public bool HasEnded
    {
        get
        {
            lock (_gate)
            {
                return _reaped || NativeProcess.HasEnded(Id, out _);
            }
        }
    }

    /// <summary>What it was to have and the system did not grant, each in words that say what to do.</summary>
    public IReadOnlyList<string> Refused { get; }

    /// <summary>The last lines of stderr.</summary>
    public IReadOnlyList<string> ErrorTail => _output.ErrorTail;

    /// <summary>Memory of the leader that is in RAM; null when it has ended.</summary>
    public long? ResidentBytes
    {
        get
        {
            lock (_gate)
            {
                if (_reaped)
                {
                    return null;
                }

                try
                {
                    string[] pages = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{Id}/statm")).Split(' ');
                    return pages.Length > 1 && long.TryParse(pages[1], NumberStyles.None, CultureInfo.InvariantCulture, out long count) && count > 0 ? count * Environment.SystemPageSize : null;
                }
                catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
                {
                    return null;
                }
            }
        }
    }

    /// <summary>Starts one. <paramref name="onLine"/> is called for each line that it writes, from up to three threads at once; it must not block.</summary>
    /// <exception cref="WorkerStartException">It could not be started, and nothing is left of the attempt.</exception>
    /// <exception cref="PlatformNotSupportedException">This is not Linux.</exception>
    public static WorkerProcess Start(WorkerStartInfo info, WorkerGuard guard, Action<WorkerLine> onLine)
    {
        if (!OperatingSystem.IsLinux())
        {
            throw new PlatformNotSupportedException("Workers need Linux: deployments with a command cannot run on this system. Deployments that are compiled in can.");
        }

        string path = ProgramSearch.Find(info);
        ChildProcesses.Listen();
        guard.EnsureStarted();
        string mark = guard.NextMark();
        Dictionary<string, string> environment = new(info.Environment, StringComparer.Ordinal) { [WorkerMark.Variable] = mark };
        (SafePipeHandle output, SafeFileHandle outputEnd) = NativeProcess.CreatePipe();
        using SafeFileHandle outputWrite = outputEnd;
        ControlGroup? group = null;
        try
        {
            List<string> refused = [];
            group = guard.Groups.New(info.Limits, refused);
            (SafePipeHandle error, SafeFileHandle errorEnd) = NativeProcess.CreatePipe();
            using SafeFileHandle errorWrite = errorEnd;
            try
            {
                using WorkerGate? gate = info.Limits == WorkerLimits.None ? null : new();
                int failure = gate is null
                    ? SpawnedProcess.Start(path, info.Command, environment, info.WorkingDirectory, input: null, outputWrite, errorWrite, blocked: [], out int id)
                    : SpawnedProcess.Start(WorkerGate.Shell, WorkerGate.Command(path, info.Command), environment, info.WorkingDirectory, gate.Input, outputWrite, errorWrite, blocked: [], out id);
                if (failure != 0)
                {
                    throw gate is null || failure == ProgramSearch.TooLong ? ProgramSearch.Refused(path, info, failure) : WorkerGate.Refused(failure);
                }

                // If the server dies before this line, the guard finds the worker by its mark.
                guard.Add(id);
                if (gate is not null)
                {
                    refused.AddRange(WorkerBounds.Limit(id, group, info.Limits));
                    gate.Open();
                }
                else if (group is not null)
                {
                    WorkerBounds.Hold(id, mark, group);
                }

                WorkerProcess worker = new(id, mark, group, refused, guard, new(output, error, guard.Time, onLine));
                ChildProcesses.Watch(id, () => _ = worker.EndAsync());
                return worker;
            }
            catch
            {
                error.Dispose();
                throw;
            }
        }
        catch
        {
            output.Dispose();
            guard.Groups.Remove(group);
            throw;
        }
    }

    /// <summary>
    /// It was just seen well: whomever the kernel has killed for memory by the time before, it was not this one. (Not until now: while the memory of a process that was killed is taken from it,
    /// which is much, its socket goes on accepting connections.)
    /// </summary>
    public void IsWell()
    {
        Volatile.Write(ref _killsWhenWellBefore, Volatile.Read(ref _killsWhenLastWell));
        if (CountOutOfMemoryKills() is { } kills)
        {
            Volatile.Write(ref _killsWhenLastWell, kills);
        }
    }

    /// <summary>Signals the worker and all of its group; nothing when it has ended.</summary>
    public void SignalGroup(int signal)
    {
        lock (_gate)
        {
            if (!_reaped)
            {
                NativeProcess.Signal(-Id, signal);
            }
        }
    }

    /// <summary>SIGTERM to the group, and after the grace SIGKILL. Completes when nothing is left of the worker. A second call may shorten the grace of the first.</summary>
    public async Task StopAsync(TimeSpan grace)
    {
        bool first;
        lock (_gate)
        {
            first = !_asked;
            _asked = true;
        }

        // A second SIGTERM would mean "at once" to many a server.
        if (first)
        {
            SignalGroup(SignalNames.Terminate);
        }

        if (await HasExitedAsync(grace))
        {
            return;
        }

        SignalGroup(SignalNames.Kill);
        try
        {
            _group?.Kill();
        }
        catch (IOException)
        {
            // It is done when the leader has ended.
        }

        if (!await HasExitedAsync(LongestKill) && !Volatile.Read(ref _leaderEnded))
        {
            Log.WorkerNotKilled(_guard.Logger, Id, LongestKill.TotalSeconds);
        }
    }

    private async Task<bool> HasExitedAsync(TimeSpan within)
    {
        try
        {
            await Exited.WaitAsync(within, _guard.Time);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    /// <summary>By its group where that counts its memory, else on the whole machine; <see langword="null"/> = it cannot be read now.</summary>
    private long? CountOutOfMemoryKills() => OutOfMemoryKills.Count(_memoryEvents ?? OutOfMemoryKills.OfMachine);

    private OutOfMemory WasOutOfMemory() =>
        (CountOutOfMemoryKills() ?? 0) <= Volatile.Read(ref _killsWhenWellBefore) ? OutOfMemory.No
        : _memoryEvents is null ? OutOfMemory.Probably
        : OutOfMemory.Yes;

    private async Task EndAsync()
    {
        Volatile.Write(ref _leaderEnded, true);
        OutOfMemory outOfMemory = WasOutOfMemory();
        NativeProcess.Signal(-Id, SignalNames.Kill);
        await KillRemainsAsync();
        _guard.Remove(Id);
        int? status;
        bool stopped;
        lock (_gate)
        {
            status = NativeProcess.Reap(Id);
            _reaped = true;
            stopped = _asked;
        }

        await _output.Ended.WaitAsync(LongestDrain, _guard.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!_output.Ended.IsCompleted)
        {
            // Somebody who escaped holds a pipe.
            _output.Cut();
            await _output.Ended.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        _output.Dispose();
        _guard.Groups.Remove(_group);
        _exited.SetResult(WorkerExit.Of(status, stopped, outOfMemory));
    }

    /// <summary>To look for them takes descriptors. While the server has none left they are not forgotten: the leader stays a zombie, so that what is its own can still be told, and they are looked for again.</summary>
    private async Task KillRemainsAsync()
    {
        bool isTold = false;
        for (TimeSpan pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                _group?.Kill();
                _guard.KillRemains(Id, _mark);
                return;
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                bool passes = Shortage.Is(exception);
                if (!isTold)
                {
                    isTold = true;
                    Log.WorkerRemainsNotFound(_guard.Logger, Id, passes ? $"{Shortage.Of(exception.HResult)}. Then it is looked for again" : exception.Message);
                }

                if (!passes)
                {
                    return;
                }
            }

            await Task.Delay(pause, _guard.Time, CancellationToken.None);
        }
    }
}
