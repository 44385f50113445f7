using System.Text;

namespace Serve.Embedded.Hosting.Systemd;

/// <summary>What a command writes to stderr by itself, for a stderr that goes into the journal: each line begins with its level, error or warning.</summary>
internal sealed class JournalErrors(TextWriter writer) : TextWriter
{
    private const string Error = "<3>";
    private const string Warning = "<4>";

    /// <summary>How an error of a configuration says that it is none.</summary>
    private const string WarningMark = ": warning: ";

    public override Encoding Encoding => writer.Encoding;

    public override void Write(char value) => writer.Write(value);

    public override void Write(string? value) => writer.Write(Marked(value));

    public override void WriteLine(string? value) => writer.WriteLine(Marked(value));

    public override void Flush() => writer.Flush();

    private static string Marked(string? text) => string.Join(
        '\n', (text ?? "").Split('\n').Select(line => line.Length == 0 ? line : $"{(line.Contains(WarningMark, StringComparison.Ordinal) ? Warning : Error)}{line}"));
}
