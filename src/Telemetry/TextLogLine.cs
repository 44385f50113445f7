namespace Serve.Embedded.Telemetry;

/// <summary>The text form: <c>LEVEL time component id request_id -- message</c>, a stack trace indented below.</summary>
internal static class TextLogLine
{
    public static void Write(LineBuffer line, in LogHead head, string message, Exception? exception)
    {
        WriteHead(line, head);
        line.AppendSafe(message);
        if (exception is not null)
        {
            line.AppendIndented(exception.ToString(), head.LineStart);
        }

        line.EndLine();
    }

    public static void Write(LineBuffer line, in LogHead head, in AccessLogEntry entry)
    {
        WriteHead(line, head);
        AppendMessage(line, entry, int.MaxValue);
        line.EndLine();
    }

    /// <summary><c>METHOD ROUTE STATUS 12.3ms</c>, in both forms.</summary>
    public static void AppendMessage(LineBuffer line, in AccessLogEntry entry, int maxNameChars)
    {
        line.AppendToken(LineBuffer.Cap(entry.Method, maxNameChars));
        line.Append(" "u8);
        line.AppendToken(LineBuffer.Cap(entry.Route, maxNameChars));
        line.Append(" "u8);
        line.Append(entry.StatusCode);
        line.Append(" "u8);
        line.Append(entry.LatencyTenths / 10);
        line.Append("."u8);
        line.Append(entry.LatencyTenths % 10);
        line.Append("ms"u8);
    }

    private static void WriteHead(LineBuffer line, in LogHead head)
    {
        line.Append(head.LineStart);
        line.Append(head.LevelName);
        line.Append(" "u8);
        line.Append(head.Time);
        line.Append(" "u8);
        if (head.Component == LogComponent.Replica)
        {
            if (head.Scope?.Application is { } application)
            {
                line.AppendToken(application);
                line.Append("_"u8);
            }

            line.AppendToken(head.Scope?.Deployment ?? "");
        }
        else
        {
            line.Append(head.ComponentName);
        }

        line.Append(" "u8);
        line.AppendToken(head.ComponentId);
        if (head.Scope?.RequestId is { } requestId)
        {
            line.Append(" "u8);
            line.AppendToken(requestId);
        }

        line.Append(" -- "u8);
    }
}
