namespace Serve.Embedded.Hosting.Systemd;

/// <summary>Finds out whether what is written to stderr goes into systemd's journal.</summary>
internal static class JournalStream
{
    private const string StandardError = "/proc/self/fd/2";

    /// <summary>The variable alone says little: it is inherited by programs whose stderr is another.</summary>
    /// <param name="get">Reads an environment variable.</param>
    /// <param name="standardError">For tests, which leave the process's own alone.</param>
    public static bool IsStandardError(Func<string, string?> get, string standardError = StandardError)
    {
        // DEVICE:INODE of the socket that systemd has made.
        if (get("JOURNAL_STREAM")?.Split(':') is not [_, { Length: > 0 } inode])
        {
            return false;
        }

        try
        {
            return new FileInfo(standardError).LinkTarget == $"socket:[{inode}]";
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
