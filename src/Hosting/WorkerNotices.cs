using Serve.Embedded.Controller;

namespace Serve.Embedded.Hosting;

/// <summary>What workers were to have and the system did not grant: each thing once, however many replicas and deployments it concerns.</summary>
internal static class WorkerNotices
{
    private const int MostNames = 3;

    public static IEnumerable<string> Of(ControllerStatus status) => status.Applications
        .SelectMany(a => a.Deployments.SelectMany(d => d.Replicas.SelectMany(r => r.Process?.Refused ?? []).Distinct().Select(text => (Text: text, Name: $"'{d.Goal.Name}' of application '{a.Name}'"))))
        .GroupBy(r => r.Text, r => r.Name)
        .Select(g => $"The workers of {Names([.. g.Distinct()])} run without something that they were to have: {g.Key}");

    private static string Names(List<string> names) =>
        names.Count <= MostNames ? string.Join(", ", names) : $"{string.Join(", ", names.Take(MostNames))} and {names.Count - MostNames} more";
}
