using System.Globalization;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller.Generations;

/// <summary>
/// Generations as files of a folder. Each is a file of its own, so that a write can hurt none but the one that is being written, and a change of one outcome does not write twenty configurations.
/// A file is written beside its place, flushed, renamed into it, and the folder flushed: it is on the disk whole, or it is the one before.
/// </summary>
internal sealed class GenerationFiles(IStateFolder folder, ILogger logger)
{
    private const string Suffix = ".json";
    private const string TemporarySuffix = ".json.new";
    private const string DamagedSuffix = ".damaged";

    private bool _isOpen;

    public string Path => folder.Path;

    /// <summary>The highest number of any file that was found, usable or not.</summary>
    public int Last { get; private set; }

    /// <summary>The message of what the disk refused, or <see langword="null"/>.</summary>
    public static string? Try(Action action)
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

    /// <summary>Locks the folder; does nothing when it is locked already.</summary>
    public void Open()
    {
        folder.Open();
        _isOpen = true;
    }

    /// <summary>Those that can be used, oldest first. What cannot is said in the log, and kept: a damaged file under another name, a stranger's as it is.</summary>
    public List<Generation> Load()
    {
        List<Generation> found = [];
        bool renamed = false;
        foreach (string name in folder.List().Order(StringComparer.Ordinal))
        {
            int number = NumberOf(name);
            Last = Math.Max(Last, number);
            if (number == 0)
            {
                Log.GenerationFileIgnored(logger, Where(name), "it is not a file of serve's");
            }
            else if (name.EndsWith(TemporarySuffix, StringComparison.Ordinal))
            {
                // Nobody was told that it is kept.
                Log.GenerationWriteUnfinished(logger, Where(name));
                _ = _isOpen ? Try(() => folder.Delete(name)) : null;
            }
            else if (name == NameOf(number))
            {
                if (Read(name, number, ref renamed) is { } generation)
                {
                    found.Add(generation);
                }
            }
            else if (!name.Contains(DamagedSuffix, StringComparison.Ordinal))
            {
                Log.GenerationFileIgnored(logger, Where(name), "it is not a file of serve's");
            }
        }

        if (renamed)
        {
            folder.Flush();
        }

        found.Sort((a, b) => a.Number.CompareTo(b.Number));
        return found;
    }

    /// <summary>Whether somebody has written since <see cref="Load"/>, or what it could not see can be seen now.</summary>
    public bool HoldsMore() => folder.List().Any(name => NumberOf(name) > Last);

    public void Write(Generation generation)
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

    /// <summary>Not flushed: what comes back after a loss of power is too old again at the next start.</summary>
    public void Delete(int number) => folder.Delete(NameOf(number));

    public void Close() => folder.Close();

    private Generation? Read(string name, int number, ref bool renamed)
    {
        byte[] bytes = [];
        if (Try(() => bytes = folder.Read(name)) is string unreadable)
        {
            Log.GenerationFileIgnored(logger, Where(name), unreadable);
            return null;
        }

        if (GenerationText.TryRead(bytes, number, out Generation? generation, out string? wrong, out bool otherFormat))
        {
            return generation;
        }

        // Under another name it is there for whoever wants to look, and is not complained of at every start.
        string aside = FreeName(name + DamagedSuffix);
        if (otherFormat || !_isOpen || Try(() => folder.Rename(name, aside)) is not null)
        {
            Log.GenerationFileIgnored(logger, Where(name), wrong);
            return null;
        }

        renamed = true;
        Log.GenerationSetAside(logger, Where(name), wrong, aside);
        return null;
    }

    private string FreeName(string name)
    {
        IReadOnlyList<string> taken = folder.List();
        string free = name;
        for (int i = 2; taken.Contains(free); i++)
        {
            free = string.Create(CultureInfo.InvariantCulture, $"{name}.{i}");
        }

        return free;
    }

    private string Where(string name) => System.IO.Path.Combine(folder.Path, name);

    private static string NameOf(int number) => number.ToString("D6", CultureInfo.InvariantCulture) + Suffix;

    /// <summary>The number that a file of ours begins with, whatever has become of it, so that no number is used again; else 0.</summary>
    private static int NumberOf(string name)
    {
        int dot = name.IndexOf(Suffix, StringComparison.Ordinal);
        return dot >= 6 && int.TryParse(name.AsSpan(0, dot), NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number < int.MaxValue ? number : 0;
    }
}
