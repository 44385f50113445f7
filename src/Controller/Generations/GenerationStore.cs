using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller.Generations;

/// <summary>
/// The goal states that were accepted, newest last: those of this run and, where there is a folder, those of the runs before. Where the disk takes nothing,
/// the store goes on in memory, says so in <see cref="Trouble"/>, and tries again with each change.
/// </summary>
/// <remarks>
/// Safe for all threads: changes take turns under a lock and wait for the disk, so they do not belong on a thread that serves; readers see an immutable list that is swapped whole, and never wait.
/// </remarks>
internal sealed class GenerationStore : IDisposable
{
    /// <summary>How many are kept; the last good one is kept beyond it.</summary>
    public const int Kept = 20;

    private readonly Lock _lock = new();
    private readonly GenerationFiles? _files;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    /// <summary>Numbers whose files are not as they should be: to write, or to delete where the generation is no longer in the list.</summary>
    private readonly SortedSet<int> _unsaved = [];

    private IReadOnlyList<Generation> _all = [];

    /// <summary>What readers see: the list as the disk has it, where there is one that takes it. Whoever is told that a generation is good can rely on it after a loss of power.</summary>
    private IReadOnlyList<Generation> _shown = [];
    private string? _trouble;
    private int _last;

    /// <summary>What the folder holds is known, and is nobody else's.</summary>
    private bool _isOurs;
    private bool _isDisposed;

    private GenerationStore(IStateFolder? folder, TimeProvider time, ILogger logger)
    {
        _files = folder is null ? null : new(folder, logger);
        _time = time;
        _logger = logger;
    }

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<Generation> All => Volatile.Read(ref _shown);

    /// <summary>The newest goal.</summary>
    public Generation? Current => All is [.., Generation newest] ? newest : null;

    public Generation? LastGood => All.LastOrDefault(g => g.Outcome == GenerationOutcome.Good);

    /// <summary>Why generations are in memory only, and what to do; <see langword="null"/> when all of them are on the disk.</summary>
    public string? Trouble => Volatile.Read(ref _trouble);

    /// <summary>Why nothing is known of the generations of earlier runs, and what to do; <see langword="null"/> when all of them were read.</summary>
    public string? Unread { get; private set; }

    /// <summary>Where they are kept; <see langword="null"/> for nowhere.</summary>
    public string? Folder => _files?.Path;

    /// <param name="folder">What <see cref="StateDirectory.Resolve"/> gave.</param>
    /// <param name="time">Dates generations.</param>
    /// <param name="logger">Told what is wrong with the folder and its files.</param>
    /// <exception cref="StateLockedException">Another server keeps its generations there. Whatever else is wrong with the folder is <see cref="Trouble"/>.</exception>
    public static GenerationStore Open(string? folder, TimeProvider time, ILogger logger) =>
        Open(folder is null ? null : new StateFolder(folder), time, logger);

    /// <summary>In the folder, or in memory where it is another server's.</summary>
    /// <param name="folder">What <see cref="StateDirectory.Resolve"/> gave; <see langword="null"/> = nowhere.</param>
    /// <param name="time">Dates generations.</param>
    /// <param name="logger">Told what is wrong with the folder and its files.</param>
    public static GenerationStore OpenOrInMemory(string? folder, TimeProvider time, ILogger logger)
    {
        try
        {
            return Open(folder, time, logger);
        }
        catch (StateLockedException exception)
        {
            return InMemory(time, logger, exception.Message);
        }
    }

    /// <summary>For a server that nobody has told to keep anything on disk.</summary>
    /// <param name="time">Dates generations.</param>
    /// <param name="logger">Told nothing.</param>
    public static GenerationStore InMemory(TimeProvider time, ILogger logger) => new(null, time, logger) { Unread = "this server keeps none on disk. Set state_dir" };

    /// <summary>For a server whose folder is another's: nothing is kept on disk.</summary>
    /// <param name="time">Dates generations.</param>
    /// <param name="logger">Told why.</param>
    /// <param name="why">In a sentence, for the log and the status.</param>
    public static GenerationStore InMemory(TimeProvider time, ILogger logger, string why)
    {
        GenerationStore store = new(null, time, logger) { Unread = why };
        lock (store._lock)
        {
            store.SetTrouble_NeedsLock(why);
        }

        return store;
    }

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
    /// <param name="code">What the files of Python that it names declare; <see langword="null"/> = it names none.</param>
    public Generation Add(ServeConfig config, GenerationSource source, string? path = null, int? restoredFrom = null, string? code = null)
    {
        string text = ConfigWriter.ToJson(config);
        lock (_lock)
        {
            if (Current is { } newest && newest.Config == text && newest.Code == code)
            {
                if (newest.Outcome is GenerationOutcome.Failed or GenerationOutcome.Superseded)
                {
                    newest = newest with { Outcome = GenerationOutcome.Pending, Reason = null, EndedAt = null };
                    Replace_NeedsLock(newest);
                    Save_NeedsLock();
                }

                return newest;
            }

            Generation generation = new(++_last, _time.GetUtcNow(), source, path, text) { RestoredFrom = restoredFrom, Code = code };
            Keep_NeedsLock([.. _all, generation]);
            _unsaved.Add(generation.Number);
            Save_NeedsLock();
            return generation;
        }
    }

    /// <summary>What the files of Python that a generation names declare, after one of them could not be imported at first.</summary>
    public void Amend(int number, string? code)
    {
        lock (_lock)
        {
            if (Find(number) is { } generation && generation.Code != code)
            {
                Replace_NeedsLock(generation with { Code = code });
                Save_NeedsLock();
            }
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
            _files?.Close();
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

    /// <summary>Takes the list without those that are too old; <see cref="Save_NeedsLock()"/> shows it.</summary>
    private void Keep_NeedsLock(List<Generation> all)
    {
        Generation? lastGood = all.LastOrDefault(g => g.Outcome == GenerationOutcome.Good);
        List<Generation> kept = [.. all.Where((g, i) => i >= all.Count - Kept || g == lastGood)];
        foreach (Generation gone in all.Except(kept))
        {
            _unsaved.Add(gone.Number);
        }

        _all = kept;
    }

    private void Open_NeedsLock()
    {
        if (_files is null)
        {
            Unread = "no folder for state is known. Set state_dir, STATE_DIRECTORY, XDG_STATE_HOME or HOME";
            SetTrouble_NeedsLock(Unread);
            return;
        }

        string? unwritable = GenerationFiles.Try(_files.Open);

        // A disk that cannot be written can still be read, and then there is something to roll back to.
        string? unreadable = GenerationFiles.Try(() => Keep_NeedsLock([.. _files.Load().Select(Ended)]));
        _last = _files.Last;
        Unread = unreadable is null ? null : unwritable ?? unreadable;
        if ((unwritable ?? unreadable) is string reason)
        {
            SetTrouble_NeedsLock(reason);
            Volatile.Write(ref _shown, _all);
        }
        else
        {
            _isOurs = true;
            Save_NeedsLock();
        }
    }

    /// <summary>What was pending when its server ended will not be known any more.</summary>
    private Generation Ended(Generation generation)
    {
        if (generation.Outcome != GenerationOutcome.Pending)
        {
            return generation;
        }

        _unsaved.Add(generation.Number);
        return generation with { Outcome = GenerationOutcome.Superseded, Reason = "the server ended before it was known how this one ends", EndedAt = _time.GetUtcNow() };
    }

    /// <summary>Brings the disk to what the list says, and then shows the list; what the disk does not take stays to be done.</summary>
    private void Save_NeedsLock()
    {
        Write_NeedsLock();
        Volatile.Write(ref _shown, _all);
    }

    private void Write_NeedsLock()
    {
        if (_files is null || _unsaved.Count == 0 || _isDisposed)
        {
            return;
        }

        string? trouble;
        try
        {
            trouble = GenerationFiles.Try(() => Save_NeedsLock(_files));
        }
        catch (StateLockedException exception)
        {
            trouble = exception.Message;
        }

        SetTrouble_NeedsLock(trouble);
    }

    private void Save_NeedsLock(GenerationFiles files)
    {
        files.Open();

        // A folder that could not be had at first may hold what could not be read then, or what a second server has written since.
        if (!_isOurs && files.HoldsMore())
        {
            throw new IOException("it holds generations that this server has not read; start the server again to use them");
        }

        _isOurs = true;

        // Newest first: if there is room for one only, it is the goal. And new ones before old ones go.
        foreach (int number in _unsaved.Reverse().ToArray())
        {
            if (_all.FirstOrDefault(g => g.Number == number) is { } generation)
            {
                files.Write(generation);
                _unsaved.Remove(number);
            }
        }

        foreach (int number in _unsaved.ToArray())
        {
            files.Delete(number);
            _unsaved.Remove(number);
        }
    }

    private void SetTrouble_NeedsLock(string? reason)
    {
        string? before = _trouble;
        string? trouble = reason is null
            ? null
            : $"Generations are kept in memory only, and a restart forgets those that are new: {reason.TrimEnd('.')}."
                + (_files is null ? "" : $" Make room in {_files.Path} and let the server write there, or set another state_dir; the next change tries again.");
        Volatile.Write(ref _trouble, trouble);
        if (trouble is not null && trouble != before)
        {
            Log.GenerationsInMemory(_logger, trouble);
        }
        else if (trouble is null && before is not null)
        {
            Log.GenerationsSaved(_logger, _files!.Path);
        }
    }
}
