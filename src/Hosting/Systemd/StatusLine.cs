using Serve.Embedded.Admin;
using Serve.Embedded.Controller;

namespace Serve.Embedded.Hosting.Systemd;

/// <summary>The one line of <c>systemctl status</c>.</summary>
internal static class StatusLine
{
    private const int MostNames = 3;

    public static string Of(IReadOnlyList<ApplicationReport> applications, IEnumerable<string> addresses)
    {
        List<ApplicationReport> others = [.. applications.Where(a => a.Status != ApplicationStatus.Running)];
        string running = others.Count == 0 ? $"{applications.Count}" : $"{applications.Count - others.Count} of {applications.Count}";
        IEnumerable<string> words = others.Take(MostNames).Select(a => $"; {a.Name} is {RayShape.Word(a.Status.ToString())}");
        string more = others.Count > MostNames ? $"; and {others.Count - MostNames} more are not well" : "";
        return $"Serving {running} application(s) on {string.Join(", ", addresses)}{string.Concat(words)}{more}";
    }
}
