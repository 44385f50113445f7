using System.Text.Json;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Admin;

/// <summary>What Ray Serve's own client takes of a status. It checks every value, and refuses the whole document for one that it does not know.</summary>
internal static class RayShape
{
    /// <summary>Whether the configuration of an application can be shown to it. One of workers cannot, nor can a folder of this machine as <c>working_dir</c>: Ray has no place for either.</summary>
    public static bool Holds(ApplicationConfig application) =>
        application.ImportPath is { } path && IsImportPath(path)
        && application.RuntimeEnv?.WorkingDir?.Contains("://", StringComparison.Ordinal) != false
        && application.Deployments.All(d => HoldsQueue(d.MaxQueuedRequests ?? -1));

    /// <summary>Ray knows no handle without a queue.</summary>
    public static bool HoldsQueue(int maxQueuedRequests) => maxQueuedRequests is -1 or > 0;

    /// <summary>Ray has fewer words for an end.</summary>
    public static string StateOf(ReplicaState state) => state switch
    {
        ReplicaState.Starting => "STARTING",
        ReplicaState.Running => "RUNNING",
        ReplicaState.Updating => "UPDATING",
        _ => "STOPPING",
    };

    /// <summary>That of a <c>user_config</c> which a running replica refused is ours alone; the message says what it was.</summary>
    public static string TriggerOf(StatusTrigger trigger) => trigger == StatusTrigger.ConfigUpdateFailed ? "UNSPECIFIED" : Word(trigger.ToString());

    /// <summary>Our names as Ray writes them: <c>DeployFailed</c> is <c>DEPLOY_FAILED</c>.</summary>
    public static string Word(string name) => JsonNamingPolicy.SnakeCaseUpper.ConvertName(name);

    /// <summary>Two parts, with a colon or at least one dot between them.</summary>
    private static bool IsImportPath(string path)
    {
        char separator = path.Contains(':', StringComparison.Ordinal) ? ':' : '.';
        return path.LastIndexOf(separator) is var last && last > 0 && last < path.Length - 1 && (separator == '.' || path.IndexOf(':', StringComparison.Ordinal) == last);
    }
}
