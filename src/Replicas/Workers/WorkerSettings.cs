using Serve.Embedded.Config;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>All that a worker is made from. Other settings mean another worker: what can change under a running one is elsewhere.</summary>
internal sealed record WorkerSettings
{
    public static readonly TimeSpan DefaultStartupTimeout = TimeSpan.FromSeconds(60);

    /// <summary>The program and its arguments, with <c>{socket}</c> and <c>{port}</c> as the operator wrote them.</summary>
    public required EquatableList<string> Command { get; init; }

    public required string WorkingDirectory { get; init; }

    public EquatableList<EnvironmentVariable> Variables { get; init; } = [];

    /// <summary>The server's own environment is not handed on.</summary>
    public bool ClearsEnvironment { get; init; }

    /// <summary>It is the server's own host of Python, which answers questions of the server's.</summary>
    public bool IsPython { get; init; }

    /// <summary>Of the file that is imported: another content is another code. <see langword="null"/> = the server does not know the program's files.</summary>
    public string? Fingerprint { get; init; }

    /// <summary>Why it cannot be started: its file cannot be imported. <see langword="null"/> = nothing is known against it.</summary>
    public string? BuildError { get; init; }

    /// <summary>What is imported once more with each start that is tried all the same, since what was missing may be there by then; <see langword="null"/> = there is no <see cref="BuildError"/>.</summary>
    public PythonSource? FailedSource { get; init; }

    /// <summary><see langword="null"/> = it is well when it accepts connections.</summary>
    public string? HealthCheckPath { get; init; }

    /// <summary><see langword="null"/> = it cannot take a new <c>user_config</c>.</summary>
    public string? ReconfigurePath { get; init; }

    /// <summary>The <c>user_config</c> of a worker that can only take one with its start; <see langword="null"/> = none, or it takes a new one while it runs.</summary>
    public string? FixedUserConfig { get; init; }

    public TimeSpan StartupTimeout { get; init; } = DefaultStartupTimeout;

    /// <summary><see langword="null"/> = any number.</summary>
    public int? MaxRequests { get; init; }

    /// <summary><see langword="null"/> = any age.</summary>
    public TimeSpan? MaxAge { get; init; }

    /// <summary>MiB; <see langword="null"/> = any.</summary>
    public int? MaxRssMb { get; init; }

    public int? Nice { get; init; }

    public EquatableList<int> CpuAffinity { get; init; } = [];

    public int? MaxOpenFiles { get; init; }

    public RlimitsConfig? Rlimits { get; init; }

    public int? MemoryMaxMb { get; init; }

    public double? CpuMax { get; init; }
}
