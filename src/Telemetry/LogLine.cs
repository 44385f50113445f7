namespace Serve.Embedded.Telemetry;

/// <summary>
/// What a thread needs to make one line, kept for its next line. Rented rather than borrowed: a value that logs from its own ToString
/// finds none and gets another.
/// </summary>
internal sealed class LogLine
{
    [ThreadStatic]
    private static LogLine? t_kept;

    private JsonLogLine? _json;

    public LineBuffer Buffer { get; } = new();

    public JsonLogLine Json => _json ??= new JsonLogLine(Buffer);

    public static LogLine Rent()
    {
        LogLine line = t_kept ?? new LogLine();
        t_kept = null;
        return line;
    }

    public void Return()
    {
        Buffer.Clear();
        t_kept = this;
    }
}
