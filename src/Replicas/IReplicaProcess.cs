namespace Serve.Embedded.Replicas;

/// <summary>A handler that is more than an object: a process, which takes time to start and to stop, and may end by itself.</summary>
internal interface IReplicaProcess
{
    /// <summary>Completes when it has ended although nobody has stopped it, with how: words that complete "it ended: ...".</summary>
    Task<string> Ended { get; }

    /// <summary>It has ended, told already or not.</summary>
    bool HasEnded { get; }

    /// <summary>It has answered a request: it is no replica that cannot work.</summary>
    bool HasServed { get; }

    /// <summary>Completes when it has lived long enough, with the reason: another shall take its place.</summary>
    Task<string> WornOut { get; }

    /// <summary>Called when nobody was there to take a connection to it, though it has not ended: its health should be checked, and not only when its time has come. Once between two checks.</summary>
    Action? OnDoubt { get; set; }

    /// <summary>What its health check may take, and what a handler may take to end after its request has; <see langword="null"/> = it is not checked yet.</summary>
    TimeSpan? CheckTimeout { get; set; }

    /// <summary>Its number in the system; <see langword="null"/> = it was not started yet.</summary>
    int? ProcessId { get; }

    /// <summary>Memory of it that is in RAM, in bytes, without that of its own children; <see langword="null"/> = it is not running.</summary>
    long? ResidentBytes { get; }

    /// <summary>What it wrote last to stderr: why it died, if it did.</summary>
    IReadOnlyList<string> LastWords { get; }

    /// <summary>What it was to have and the system did not grant, each in words that say what to do: it runs without.</summary>
    IReadOnlyList<string> Refused { get; }

    /// <summary>Starts it with its first <c>user_config</c>, and completes when it answers.</summary>
    Task StartAsync(string? userConfig, CancellationToken cancellationToken);

    /// <summary>So many requests may now come to it at the same time.</summary>
    void LimitIs(int maxOngoingRequests);

    /// <summary>Asks it to end, and ends it after the grace.</summary>
    Task StopAsync(TimeSpan grace);
}
