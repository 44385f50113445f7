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
            line.AppendIndented(exception.ToString());
        }

        line.EndLine();
    }

    public static void Write(LineBuffer line, in LogHead head, in AccessLogEntry entry)
    {
        WriteHead(line, head);
        line.AppendToken(entry.Method);
        line.Append(" "u8);
        line.AppendToken(entry.Route);
        line.Append(" "u8);
        line.Append(entry.StatusCode);
        line.Append(" "u8);
        line.Append(entry.LatencyTenths / 10);
        line.Append("."u8);
        line.Append(entry.LatencyTenths % 10);
        line.Append("ms"u8);
        line.EndLine();
    }

    private static void WriteHead(LineBuffer line, in LogHead head)
    {
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
