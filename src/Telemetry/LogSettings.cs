using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Telemetry;

/// <summary>How log lines look and which are written: immutable, replaced whole.</summary>
internal sealed record LogSettings
{
    /// <summary>One JSON object per line instead of text.</summary>
    public bool Json { get; init; }

    public LogLevel MinimumLevel { get; init; } = LogLevel.Information;

    public bool AccessLog { get; init; } = true;
}

/// <summary>Where a reload puts the settings and every logger reads them.</summary>
internal sealed class LiveLogSettings(LogSettings settings)
{
    private volatile LogSettings _current = settings;

    /// <summary>An access log is wanted at all, whatever the settings say.</summary>
    public bool MayAccessLog { get; init; } = true;

    /// <summary>The log goes into systemd's journal, which reads the level of a line from its start.</summary>
    public bool ForJournal { get; init; }

    public LogSettings Current
    {
        get => _current;
        set => _current = value;
    }
}
