using System.Globalization;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller.Generations;

/// <summary>
/// The goal states that were accepted, newest last: those of this run and, where there is a folder, those of the runs before. Each generation is a file of its own, so that a write can hurt none
/// but the one that is being written, and a change of one outcome does not write twenty configurations. A file is written beside its place, flushed, renamed into it, and the folder flushed: it is
/// on the disk whole, or it is the one before. Where the disk takes nothing, the store goes on in memory, says so in <see cref="Trouble"/>, and tries again with each change.
/// </summary>
/// <remarks>
/// Safe for all threads: changes take turns under a lock and wait for the disk, so they do not belong on a thread that serves; readers see an immutable list that is swapped whole, and never wait.
/// </remarks>
internal sealed class GenerationStore : IDisposable
{
    /// <summary>How many are kept; the last good one is kept beyond it.</summary>
    public const int Kept = 20;

    private const string Suffix = ".json";
    private const string TemporarySuffix = ".json.new";
    private const string DamagedSuffix = ".damaged";

    private readonly Lock _lock = new();
    private readonly IStateFolder? _folder;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    /// <summary>Numbers whose files are not as they should be: to write, or to delete where the generation is no longer in the list.</summary>
    private readonly SortedSet<int> _unsaved = [];

    private IReadOnlyList<Generation> _all = [];
    private string? _trouble;
    private int _last;

    /// <summary>The highest number among the files at the start.</summary>
    private int _lastFound;
    private bool _isOpen;

    /// <summary>What the folder holds is known, and is nobody else's.</summary>
    private bool _isOurs;
    private bool _isDisposed;

    private GenerationStore(IStateFolder? folder, TimeProvider time, ILogger logger)
    {
        _folder = folder;
        _time = time;
        _logger = logger;
    }

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<Generation> All => Volatile.Read(ref _all);

    /// <summary>The newest goal.</summary>
    public Generation? Current => All is [.., Generation newest] ? newest : null;

    public Generation? LastGood => All.LastOrDefault(g => g.Outcome == GenerationOutcome.Good);

    /// <summary>Why generations are in memory only, and what to do; <see langword="null"/> when all of them are on the disk.</summary>
    public string? Trouble => Volatile.Read(ref _trouble);

    /// <summary>Where they are kept; <see langword="null"/> for nowhere.</summary>
    public string? Folder => _folder?.Path;

    /// <param name="folder">What <see cref="StateDirectory.Resolve"/> gave.</param>
    /// <param name="time">Dates generations.</param>
    /// <param name="logger">Told what is wrong with the folder and its files.</param>
    /// <exception cref="StateLockedException">Another server keeps its generations there. Whatever else is wrong with the folder is <see cref="Trouble"/>.</exception>
    public static GenerationStore Open(string? folder, TimeProvider time, ILogger logger) =>
        Open(folder is null ? null : new StateFolder(folder), time, logger);

    public static GenerationStore Open(IStateFolder? folder, TimeProvider time, ILogger logger)
    {
        GenerationStore store = new(folder, time, logger);
        try
        {
            lock (store._lock)
            {
                store.Open_NeedsLock();
            }
        }
        catch
        {
            folder?.Close();
            throw;
        }

        return store;
    }

    public Generation? Find(int number) => All.FirstOrDefault(g => g.Number == number);

    /// <summary>
    /// Where a rollback goes from this generation: to the good one before it. From a generation that is itself the work of a rollback it goes on from where that one went, so that one rollback after
    /// another leads further back, not to and fro.
    /// </summary>
    public Generation? GoodBefore(int number)
    {
        IReadOnlyList<Generation> all = All;
        while (all.FirstOrDefault(g => g.Number == number)?.RestoredFrom is int restored && restored < number)
        {
            number = restored;
        }

        return all.LastOrDefault(g => g.Number < number && g.Outcome == GenerationOutcome.Good);
    }

    /// <summary>
    /// A goal that was accepted. The goal that is the newest already is no new one, so that starting the same file again and again does not push out the history: it is given back as it is
    /// if it was good, and else it is pending once more.
    /// </summary>
    /// <param name="config">All of it.</param>
    /// <param name="source">Who asked for it.</param>
    /// <param name="path">The file it came from, where there is one.</param>
    /// <param name="restoredFrom">The generation that a rollback brings back.</param>
    public Generation Add(ServeConfig config, GenerationSource source, string? path = null, int? restoredFrom = null)
    {
        string text = ConfigWriter.ToJson(config);
        lock (_lock)
        {
            if (Current is { } newest && newest.Config == text)
            {
                if (newest.Outcome is GenerationOutcome.Failed or GenerationOutcome.Superseded)
                {
                    newest = newest with { Outcome = GenerationOutcome.Pending, Reason = null, EndedAt = null };
                    Replace_NeedsLock(newest);
                    Save_NeedsLock();
                }

                return newest;
            }

            Generation generation = new(++_last, _time.GetUtcNow(), source, path, text) { RestoredFrom = restoredFrom };
            Keep_NeedsLock([.. _all, generation]);
            _unsaved.Add(generation.Number);
            Save_NeedsLock();
            return generation;
        }
    }

    /// <summary>It runs. A generation that failed may do so later, since what never came up goes on trying; one that was superseded may not.</summary>
    /// <returns>Whether that is news.</returns>
    public bool MarkGood(int number) => End(number, GenerationOutcome.Good, null, from: [GenerationOutcome.Pending, GenerationOutcome.Failed]);

    /// <summary>It did not come up. One that was good stays good: it has served, and it is what a rollback wants.</summary>
    /// <returns>Whether that is news.</returns>
    public bool MarkFailed(int number, string reason) => End(number, GenerationOutcome.Failed, reason, from: [GenerationOutcome.Pending]);

    /// <summary>Another goal was accepted before it was known how this one ends.</summary>
    /// <returns>Whether that is news.</returns>
    public bool MarkSuperseded(int number, string reason) => End(number, GenerationOutcome.Superseded, reason, from: [GenerationOutcome.Pending]);

    /// <summary>Tries once more to write what could not be written, and lets another server have the folder.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_isDisposed)
            {
                return;
            }

            Save_NeedsLock();
            _isDisposed = true;
            _folder?.Close();
        }
    }

    private bool End(int number, GenerationOutcome outcome, string? reason, ReadOnlySpan<GenerationOutcome> from)
    {
        lock (_lock)
        {
            if (Find(number) is not { } generation || !from.Contains(generation.Outcome))
            {
                return false;
            }

            Replace_NeedsLock(generation with { Outcome = outcome, Reason = reason, EndedAt = _time.GetUtcNow() });
            Save_NeedsLock();
            return true;
        }
    }

    private void Replace_NeedsLock(Generation generation)
    {
        Keep_NeedsLock([.. _all.Select(g => g.Number == generation.Number ? generation : g)]);
        _unsaved.Add(generation.Number);
    }

    /// <summary>Publishes the list without those that are too old.</summary>
    private void Keep_NeedsLock(List<Generation> all)
    {
        Generation? lastGood = all.LastOrDefault(g => g.Outcome == GenerationOutcome.Good);
        List<Generation> kept = [.. all.Where((g, i) => i >= all.Count - Kept || g == lastGood)];
        foreach (Generation gone in all.Except(kept))
        {
            _unsaved.Add(gone.Number);
        }

        Volatile.Write(ref _all, kept);
    }

    private void Open_NeedsLock()
    {
        if (_folder is null)
        {
            SetTrouble_NeedsLock("no folder for state is known. Set state_dir, STATE_DIRECTORY, XDG_STATE_HOME or HOME");
            return;
        }

        string? trouble = Try(() => OpenFolder_NeedsLock(_folder));

        // A disk that cannot be written can still be read, and then there is something to roll back to.
        string? unread = Try(() => Load_NeedsLock(_folder));
        _lastFound = _last;
        if ((trouble ?? unread) is string reason)
        {
            SetTrouble_NeedsLock(reason);
        }
        else
        {
            _isOurs = true;
            Save_NeedsLock();
        }
    }

    private void OpenFolder_NeedsLock(IStateFolder folder)
    {
        folder.Open();
        _isOpen = true;
    }

    private void Load_NeedsLock(IStateFolder folder)
    {
        List<Generation> found = [];
        bool renamed = false;
        foreach (string name in folder.List().Order(StringComparer.Ordinal))
        {
            int number = NumberOf(name);
            _last = Math.Max(_last, number);
            if (name.EndsWith(TemporarySuffix, StringComparison.Ordinal) && number > 0)
            {
                // Nobody was told that it is kept.
                Log.GenerationWriteUnfinished(_logger, Where(folder, name));
                _ = _isOpen ? Try(() => folder.Delete(name)) : null;
            }
            else if (number == 0 || NameOf(number) != name)
            {
                if (number == 0 || !name.Contains(DamagedSuffix, StringComparison.Ordinal))
                {
                    Log.GenerationFileIgnored(_logger, Where(folder, name), "it is not a file of serve's");
                }
            }
            else if (ReadFile(folder, name, number, ref renamed) is { } generation)
            {
                found.Add(generation);
            }
        }

        found.Sort((a, b) => a.Number.CompareTo(b.Number));
        DateTimeOffset now = _time.GetUtcNow();
        for (int i = 0; i < found.Count; i++)
        {
            if (found[i].Outcome == GenerationOutcome.Pending)
            {
                found[i] = found[i] with { Outcome = GenerationOutcome.Superseded, Reason = "the server ended before it was known how this one ends", EndedAt = now };
                _unsaved.Add(found[i].Number);
            }
        }

        Keep_NeedsLock(found);
        if (renamed)
        {
            folder.Flush();
        }
    }

    /// <summary>The generation, or <see langword="null"/> after saying why not. A damaged file gets another name, so that it is there for whoever wants to look and is not complained of at every start.</summary>
    private Generation? ReadFile(IStateFolder folder, string name, int number, ref bool renamed)
    {
        byte[] bytes = [];
        if (Try(() => bytes = folder.Read(name)) is string unreadable)
        {
            Log.GenerationFileIgnored(_logger, Where(folder, name), unreadable);
            return null;
        }

        if (GenerationText.TryRead(bytes, number, out Generation? generation, out string? wrong, out bool otherFormat))
        {
            return generation;
        }

        string aside = FreeName(folder, name + DamagedSuffix);
        if (otherFormat || !_isOpen || Try(() => folder.Rename(name, aside)) is not null)
        {
            Log.GenerationFileIgnored(_logger, Where(folder, name), wrong);
            return null;
        }

        renamed = true;
        Log.GenerationSetAside(_logger, Where(folder, name), wrong, aside);
        return null;
    }

    private static string FreeName(IStateFolder folder, string name)
    {
        IReadOnlyList<string> taken = folder.List();
        string free = name;
        for (int i = 2; taken.Contains(free); i++)
        {
            free = string.Create(CultureInfo.InvariantCulture, $"{name}.{i}");
        }

        return free;
    }

    /// <summary>Brings the disk to what the list says; what it does not take stays to be done.</summary>
    private void Save_NeedsLock()
    {
        if (_folder is null || _unsaved.Count == 0 || _isDisposed)
        {
            return;
        }

        string? trouble;
        try
        {
            trouble = Try(() => Save_NeedsLock(_folder));
        }
        catch (StateLockedException exception)
        {
            trouble = exception.Message;
        }

        SetTrouble_NeedsLock(trouble);
    }

    private void Save_NeedsLock(IStateFolder folder)
    {
        if (!_isOpen)
        {
            OpenFolder_NeedsLock(folder);
        }

        // A folder that could not be had at first may hold what could not be read then, or what a second server has written since.
        if (!_isOurs && folder.List().Any(name => NumberOf(name) > _lastFound))
        {
            throw new IOException("it holds generations that this server has not read; start the server again to use them");
        }

        _isOurs = true;

        // Newest first: if there is room for one only, it is the goal. And new ones before old ones go.
        foreach (int number in _unsaved.Reverse().ToArray())
        {
            if (Find(number) is { } generation)
            {
                WriteFile(folder, generation);
                _unsaved.Remove(number);
            }
        }

        // Not flushed: what comes back after a loss of power is deleted at the next start.
        foreach (int number in _unsaved.ToArray())
        {
            folder.Delete(NameOf(number));
            _unsaved.Remove(number);
        }
    }

    private static void WriteFile(IStateFolder folder, Generation generation)
    {
        string name = NameOf(generation.Number);
        string temporary = generation.Number.ToString("D6", CultureInfo.InvariantCulture) + TemporarySuffix;
        try
        {
            using (IStateFile file = folder.Create(temporary))
            {
                file.Write(GenerationText.Write(generation));
                file.Flush();
            }

            folder.Rename(temporary, name);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // On a full disk half a file takes the room that the next try needs.
            _ = Try(() => folder.Delete(temporary));
            throw;
        }

        folder.Flush();
    }

    private void SetTrouble_NeedsLock(string? reason)
    {
        string? before = _trouble;
        string? trouble = reason is null
            ? null
            : $"Generations are kept in memory only, and a restart forgets those that are new: {reason.TrimEnd('.')}."
                + (_folder is null ? "" : $" Make room in {_folder.Path} and let the server write there, or set another state_dir; the next change tries again.");
        Volatile.Write(ref _trouble, trouble);
        if (trouble is not null && trouble != before)
        {
            Log.GenerationsInMemory(_logger, trouble);
        }
        else if (trouble is null && before is not null)
        {
            Log.GenerationsSaved(_logger, _folder!.Path);
        }
    }

    /// <summary>The message of what the disk refused, or <see langword="null"/>.</summary>
    private static string? Try(Action action)
    {
        try
        {
            action();
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return exception.Message;
        }
    }

    private static string Where(IStateFolder folder, string name) => Path.Combine(folder.Path, name);

    private static string NameOf(int number) => number.ToString("D6", CultureInfo.InvariantCulture) + Suffix;

    /// <summary>The number that a file of ours begins with, whatever has become of it, so that no number is used again; else 0.</summary>
    private static int NumberOf(string name)
    {
        int dot = name.IndexOf(Suffix, StringComparison.Ordinal);
        return dot >= 6 && int.TryParse(name.AsSpan(0, dot), NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number < int.MaxValue ? number : 0;
    }
}
