using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>How important a worker says that a line is: by <c>&lt;3&gt;</c> before it, as programs under systemd do (sd-daemon(3)).</summary>
internal static class LinePriority
{
    /// <summary>Takes the prefix off; a line without one is information.</summary>
    public static LogLevel TakeFrom(ref string line)
    {
        if (line is not ['<', >= '0' and <= '7', '>', ..])
        {
            return LogLevel.Information;
        }

        char priority = line[1];
        line = line[3..];
        return priority switch
        {
            <= '2' => LogLevel.Critical,
            '3' => LogLevel.Error,
            '4' => LogLevel.Warning,
            '7' => LogLevel.Debug,
            _ => LogLevel.Information,
        };
    }
}
