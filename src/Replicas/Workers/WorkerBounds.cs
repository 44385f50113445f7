using System.Globalization;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Puts a worker that was just started into its control group and under its limits. It is stopped meanwhile, and whom it has started in the instant before that is treated like it, so that no part of it is without.
/// </summary>
internal static class WorkerBounds
{
    /// <summary>Those who were started early may fork while they are looked for.</summary>
    private const int MostRounds = 5;

    /// <returns>What the system does not grant, in words.</returns>
    public static List<string> Set(int leader, string mark, ControlGroup? group, WorkerLimits limits)
    {
        if (group is null && limits == WorkerLimits.None)
        {
            return [];
        }

        NativeProcess.Signal(leader, SignalNames.Stop);
        try
        {
            List<string> refused = [.. limits.Apply(leader)];
            if (Join(leader, group) is { } trouble)
            {
                refused.AddRange(limits.InControlGroup.Select(l => $"{l.Key} has no effect: the worker cannot be put into its control group {group!.Folder}: {trouble}."));
            }

            SetOfOthers(leader, mark, group, limits);
            return refused;
        }
        finally
        {
            NativeProcess.Signal(leader, SignalNames.Continue);
        }
    }

    private static void SetOfOthers(int leader, string mark, ControlGroup? group, WorkerLimits limits)
    {
        HashSet<int> done = [];
        bool found = WorkerMark.HasChildren(leader);
        for (int round = 0; found && round < MostRounds; round++)
        {
            found = false;
            foreach (int other in WorkerMark.Others(leader, mark).Where(done.Add))
            {
                found = true;
                limits.Apply(other);
                Join(other, group);
            }
        }
    }

    private static string? Join(int process, ControlGroup? group)
    {
        try
        {
            group?.Take(process.ToString(CultureInfo.InvariantCulture));
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return exception.Message;
        }
    }
}
