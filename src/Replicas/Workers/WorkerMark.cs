using System.Globalization;
using System.Text;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// A variable in a worker's environment that its descendants inherit. It finds those that left the worker's group with a session of their own (daemons) and so escaped the signals
/// to the group, and those that a server started in the instant before it died. A descendant that makes a session and empties its environment escapes this too: only a control group holds it.
/// </summary>
internal static class WorkerMark
{
    public const string Variable = "SERVE_WORKER";

    /// <summary>A descendant may fork while it is looked for; one that does so each time is a fork bomb, which only a control group ends.</summary>
    private const int MostRounds = 5;

    /// <summary>How often it is waited for processes that are just becoming another program, half of the times for a millisecond: some have an empty environment for good.</summary>
    private const int MostWaits = 40;

    private const string Processes = "/proc";

    /// <summary>Of the fields after a program's name.</summary>
    private const int KernelFlags = 6;

    /// <summary>PF_KTHREAD: such a one has no environment and is nobody's.</summary>
    private const ulong KernelThread = 0x0020_0000;

    private static int _servers;

    /// <summary>What begins the marks of one server's workers: no other server's do, in this process or another, now or after a process number has come round again.</summary>
    public static string NewPrefix() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Environment.ProcessId}-{StartTime("self")}-{Interlocked.Increment(ref _servers)}-");

    /// <summary>Kills what is left of a worker whose leader has ended and was not reaped: its session, and all who carry its mark.</summary>
    /// <exception cref="IOException">They cannot all be looked at; when that is for a <see cref="Shortage"/>, they can be later.</exception>
    /// <exception cref="UnauthorizedAccessException">They cannot be looked at.</exception>
    public static void KillRemains(int leader, string mark)
    {
        SpinWait spin = default;
        KillRemains(leader, mark, Processes, () => spin.SpinOnce());
    }

    /// <param name="leader">The worker's first process.</param>
    /// <param name="mark">What its descendants carry.</param>
    /// <param name="processes">Where the system shows them.</param>
    /// <param name="wait">For an instant, in which a process that becomes another program may have done so.</param>
    public static void KillRemains(int leader, string mark, string processes, Action wait)
    {
        byte[] variable = VariableOf(mark);
        int waits = 0;
        for (int round = 0; round < MostRounds;)
        {
            bool found = false;
            List<string> unsure = [];
            foreach ((int process, string folder, bool isSure) in Candidates(processes, leader, variable))
            {
                if (isSure)
                {
                    found |= NativeProcess.Signal(process, SignalNames.Kill);
                }
                else
                {
                    unsure.Add(folder);
                }
            }

            if (found)
            {
                round++;
                continue;
            }

            // Until one of these shows what it is nobody else has to be looked at, of whom there may be thousands.
            bool isNews = false;
            while (!isNews && unsure.Count > 0 && waits++ < MostWaits)
            {
                wait();
                isNews = unsure.Exists(folder => Belongs(folder, leader, variable) is not null);
            }

            if (!isNews)
            {
                return;
            }
        }
    }

    /// <summary>A worker's processes beside its leader: who is in its session, and all who carry its mark.</summary>
    /// <inheritdoc cref="KillRemains(int, string)"/>
    public static IEnumerable<int> Others(int leader, string mark) => Candidates(Processes, leader, VariableOf(mark)).Where(static c => c.IsSure).Select(static c => c.Process);

    /// <summary>Whether a process that has one thread yet has started another. Where the kernel does not tell, it may have.</summary>
    public static bool HasChildren(int process)
    {
        try
        {
            return File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{process}/task/{process}/children")).Length > 0;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return true;
        }
    }

    /// <summary><see langword="null"/> = the process has ended.</summary>
    public static string? ParentOf(string process)
    {
        try
        {
            return StatFields($"/proc/{process}") is { Length: > 1 } fields ? fields[1] : null;
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Those that belong to the worker, and those of which that cannot be seen now.</summary>
    private static IEnumerable<(int Process, string Folder, bool IsSure)> Candidates(string processes, int leader, byte[] variable)
    {
        foreach (string folder in Directory.EnumerateDirectories(processes))
        {
            if (int.TryParse(Path.GetFileName(folder.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out int process)
                && process != leader
                && Belongs(folder, leader, variable) is not false and var belongs)
            {
                yield return (process, folder, belongs is true);
            }
        }
    }

    private static byte[] VariableOf(string mark) => Encoding.UTF8.GetBytes($"{Variable}={mark}\0");

    /// <summary><see langword="null"/> = it has no environment: it is becoming another program, which takes an instant, or has none.</summary>
    private static bool? Belongs(string folder, int session, byte[] variable)
    {
        try
        {
            string[] fields = StatFields(folder);
            if (fields.Length <= KernelFlags || fields[0] is "Z" or "X" || (ulong.TryParse(fields[KernelFlags], CultureInfo.InvariantCulture, out ulong flags) && (flags & KernelThread) != 0))
            {
                return false;
            }

            if (fields[3] == session.ToString(CultureInfo.InvariantCulture))
            {
                return true;
            }

            byte[] environment = File.ReadAllBytes($"{folder}/environ");
            return environment.Length == 0 ? null : environment.AsSpan().IndexOf(variable) >= 0;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException && !Shortage.Is(exception))
        {
            // It has ended, or is another user's and not ours to kill.
            return false;
        }
    }

    private static string StartTime(string process) => StatFields($"/proc/{process}")[19];

    /// <summary>The fields after the program's name, which may itself hold spaces and brackets: state, parent, group, session, ... None of a process that ends while it is read.</summary>
    private static string[] StatFields(string folder)
    {
        string stat = File.ReadAllText($"{folder}/stat");
        int name = stat.LastIndexOf(')');
        return name < 0 || name + 2 > stat.Length ? [] : stat[(name + 2)..].Split(' ');
    }
}
