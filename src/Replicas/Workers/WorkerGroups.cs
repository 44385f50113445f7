using System.Globalization;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// The control groups of a server's workers, one each, below one of the server's: where the system lets it, they hold every descendant of a worker until it is killed, say whether the kernel has killed it for its memory,
/// and limit it. They are made with the first worker; what a killed server has left goes with the next one.
/// </summary>
/// <remarks>A group that hands controllers on may hold no processes itself. So the server goes into a leaf beside its workers, with all that it has started, when the first limit is asked for.</remarks>
internal sealed class WorkerGroups : IDisposable
{
    private const string Prefix = "serve-";
    private const string ServerSuffix = "-server";
    private const string HandedOn = "cgroup.subtree_control";

    private readonly Lock _gate = new();
    private readonly ControlGroup? _own;
    private readonly HashSet<string> _controllers = [];
    private readonly List<ControlGroup> _left = [];
    private string? _whyNone;
    private ControlGroup? _workers;
    private int _count;

    /// <param name="own">The folder of the server's own control group; <see langword="null"/> = there is none to work with.</param>
    /// <param name="whyNone">Why.</param>
    public WorkerGroups(string? own, string? whyNone = null)
    {
        _own = own is null ? null : new(own);
        _whyNone = whyNone;
    }

    /// <summary>Those of the process that this is.</summary>
    public static WorkerGroups OfThisProcess()
    {
        (string? own, string? whyNone) = OwnControlGroup.Find();
        return new(own, whyNone);
    }

    /// <summary>The group above all workers' groups, for who kills them together; <see langword="null"/> = there is none.</summary>
    public string? Folder
    {
        get
        {
            lock (_gate)
            {
                return Workers_NeedsLock()?.Folder;
            }
        }
    }

    /// <summary>A group for one worker, with its limits.</summary>
    /// <param name="limits">What it may use.</param>
    /// <param name="refused">Takes what the system does not grant of that, in words.</param>
    /// <returns><see langword="null"/> = the worker must do without.</returns>
    public ControlGroup? New(WorkerLimits limits, List<string> refused)
    {
        lock (_gate)
        {
            RemoveLeft_NeedsLock();
            ControlGroup? group = null;
            try
            {
                group = Workers_NeedsLock() is { } workers ? ControlGroup.Create(Path.Combine(workers.Folder, string.Create(CultureInfo.InvariantCulture, $"w{++_count}"))) : null;
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                _whyNone = $"no control group can be made for it: {exception.Message}";
            }

            foreach ((string key, string controller, IEnumerable<(string File, string Value)> settings) in limits.InControlGroup)
            {
                if (Limit_NeedsLock(group, controller, settings) is { } trouble)
                {
                    refused.Add($"{key} has no effect: {trouble}.");
                }
            }

            return group;
        }
    }

    /// <summary>A worker has ended: its group goes as soon as nobody is in it.</summary>
    public void Remove(ControlGroup? group)
    {
        if (group is not null)
        {
            lock (_gate)
            {
                _left.Add(group);
                RemoveLeft_NeedsLock();
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _workers?.TryRemove();
        }
    }

    private void RemoveLeft_NeedsLock() => _left.RemoveAll(static g => g.TryRemove());

    private ControlGroup? Workers_NeedsLock()
    {
        if (_workers is null && _own is not null && _whyNone is null)
        {
            try
            {
                RemoveLeftBehind_NeedsLock(_own);
                _workers = ControlGroup.Create(Path.Combine(_own.Folder, $"{Prefix}{Environment.ProcessId}-{Guid.NewGuid().ToString("N")[..8]}"));
            }
            catch (Exception exception) when (Shortage.Is(exception))
            {
                // The next worker may have one.
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                _whyNone = $"the server may make no control groups in {_own.Folder} ({exception.Message}). Under systemd set Delegate=yes and ProtectControlGroups=no in its unit";
            }
        }

        return _workers;
    }

    /// <summary>A server that was killed, with its guard, leaves its groups. Their names say whose they were.</summary>
    private void RemoveLeftBehind_NeedsLock(ControlGroup own)
    {
        foreach (string folder in Directory.EnumerateDirectories(own.Folder, $"{Prefix}*"))
        {
            string[] parts = Path.GetFileName(folder).Split('-');
            if (parts.Length >= 3 && int.TryParse(parts[1], out int processId) && !Directory.Exists($"/proc/{processId}"))
            {
                ControlGroup group = new(folder);
                group.Kill();
                _left.Add(group);
            }
        }

        RemoveLeft_NeedsLock();
    }

    /// <returns>Why it cannot be; <see langword="null"/> = it is in force.</returns>
    private string? Limit_NeedsLock(ControlGroup? group, string controller, IEnumerable<(string File, string Value)> settings)
    {
        if (group is null)
        {
            return _whyNone ?? "the server can have no more files open at this moment";
        }

        try
        {
            if (HandOn_NeedsLock(controller) is { } trouble)
            {
                return trouble;
            }

            foreach ((string file, string value) in settings)
            {
                group.Write(file, value);
            }

            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return $"the system refuses it: {exception.Message}";
        }
    }

    /// <summary>Sees to it that a controller works in the groups of workers.</summary>
    private string? HandOn_NeedsLock(string controller)
    {
        if (_controllers.Contains(controller))
        {
            return null;
        }

        if (!_own!.Read("cgroup.controllers").Contains(controller))
        {
            return $"the server's control group {_own.Folder} does not have the controller '{controller}'. Under systemd set Delegate=yes in its unit; where version 1 of control groups holds the controller, boot with version 2 alone";
        }

        string wanted = $"+{controller}";
        try
        {
            _own.Write(HandedOn, wanted);
        }
        catch (IOException)
        {
            // Processes are in it.
            List<string> others = MakeRoom(_own, $"{_workers!.Folder}{ServerSuffix}");
            try
            {
                _own.Write(HandedOn, wanted);
            }
            catch (IOException exception) when (others.Count > 0)
            {
                return $"other processes than the server's are in its control group {_own.Folder}: {string.Join(", ", others)} ({exception.Message}). Start the server in one of its own, such as that of a systemd unit with Delegate=yes";
            }
        }

        _workers!.Write(HandedOn, wanted);
        _controllers.Add(controller);
        return null;
    }

    /// <summary>Moves the server and what it has started.</summary>
    /// <returns>The processes that stay, for they are somebody else's.</returns>
    private static List<string> MakeRoom(ControlGroup own, string leaf)
    {
        string self = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        ILookup<bool, string> processes = own.Processes.ToLookup(p => p == self || WorkerMark.ParentOf(p) == self);
        ControlGroup server = ControlGroup.Create(leaf);
        foreach (string process in processes[true])
        {
            server.Take(process);
        }

        return [.. processes[false]];
    }
}
