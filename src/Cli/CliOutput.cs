using System.Text;

namespace Serve.Embedded.Cli;

/// <summary>
/// An output that may be a full disk or a closed pipe. Where it carries what was asked for, that is a failure of the command; where it carries what went wrong,
/// there is nobody left to tell and the exit code has to do.
/// </summary>
internal sealed class CliOutput(TextWriter inner, bool isWhatWasAskedFor) : TextWriter
{
    public override Encoding Encoding => inner.Encoding;

    public override void Write(char value) => Try(() => inner.Write(value));

    public override void Write(string? value) => Try(() => inner.Write(value));

    public override void WriteLine(string? value) => Try(() => inner.WriteLine(value));

    // The console's writers do nothing asynchronously either.
    public override Task WriteAsync(char value)
    {
        Write(value);
        return Task.CompletedTask;
    }

    public override Task WriteAsync(string? value)
    {
        Write(value);
        return Task.CompletedTask;
    }

    public override Task WriteLineAsync(string? value)
    {
        WriteLine(value);
        return Task.CompletedTask;
    }

    private void Try(Action write)
    {
        try
        {
            write();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The latter where it was closed and something else, that can only be read, has taken its number.
            if (isWhatWasAskedFor)
            {
                throw new OutputException($"Cannot write the output: {exception.Message}", exception);
            }
        }
    }
}

/// <summary>What was asked for could not be written, in words for who asked. Exit code 1.</summary>
internal sealed class OutputException(string message, Exception inner) : Exception(message, inner);
