namespace Serve.Embedded.Replicas.Workers;

/// <summary>What a worker process is started with. Nothing of the server's own is added to it but the marks that find its descendants again.</summary>
internal sealed record WorkerStartInfo
{
    /// <summary>The program and its arguments. A program without a slash is looked up in the PATH of <see cref="Environment"/>; with one it is a path from <see cref="WorkingDirectory"/>.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    /// <summary>An absolute path.</summary>
    public required string WorkingDirectory { get; init; }

    /// <summary>The whole environment.</summary>
    public required IReadOnlyDictionary<string, string> Environment { get; init; }

    public WorkerLimits Limits { get; init; } = WorkerLimits.None;
}
