using System.Globalization;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Puts a worker that was just started into its control group and under its limits, so that no part of it is without.</summary>
internal static class WorkerBounds
{
    /// <summary>Those who were started early may fork while they are looked for.</summary>
    private const int MostRounds = 5;

    /// <summary>For one that waits at its <see cref="WorkerGate"/>.</summary>
    /// <returns>What the system does not grant, in words.</returns>
    public static IEnumerable<string> Limit(int leader, ControlGroup? group, WorkerLimits limits) =>
        Join(leader, group) is { } trouble
            ? [.. limits.InControlGroup.Select(l => $"{l.Key} has no effect: the worker cannot be put into its control group {group!.Folder}: {trouble}."), .. limits.Apply(leader)]
            : limits.Apply(leader);

    /// <summary>For one that runs already: it is stopped meanwhile, and whom it has started in the instant before that is taken in with it.</summary>
    public static void Hold(int leader, string mark, ControlGroup group)
    {
        NativeProcess.Signal(leader, SignalNames.Stop);
        try
        {
            Join(leader, group);
            HashSet<int> done = [];
            bool found = WorkerMark.HasChildren(leader);
            for (int round = 0; found && round < MostRounds; round++)
            {
                found = false;
                foreach (int other in WorkerMark.Others(leader, mark).Where(done.Add))
                {
                    found = true;
                    Join(other, group);
                }
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // They cannot be looked for: their mark must do when the worker ends.
        }
        finally
        {
            NativeProcess.Signal(leader, SignalNames.Continue);
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
