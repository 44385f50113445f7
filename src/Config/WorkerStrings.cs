using System.Text;

namespace Serve.Embedded.Config;

/// <summary>
/// The strings that a worker is started with: each argument, and each variable with its name. Linux takes none that is longer than 32 pages of 4 KiB with the NUL at its end
/// (MAX_ARG_STRLEN), and a running worker would take a longer <c>user_config</c> all the same: nobody would know before the next start.
/// </summary>
internal static class WorkerStrings
{
    /// <summary>Of one string in UTF-8, without its NUL. A machine with larger pages takes more, and another one may have to serve the same file.</summary>
    public const int MostBytes = (32 * 4096) - 1;

    /// <summary>Of a socket's path, by the kernel.</summary>
    public const int MostBytesOfSocket = 107;

    public const string UserConfigVariable = "SERVE_USER_CONFIG";
    public const string ArgsVariable = "SERVE_ARGS";

    private const string SocketMark = "{socket}";

    /// <summary>What is wrong with a variable of the server's own making; <see langword="null"/> = nothing.</summary>
    /// <param name="key">Where the operator writes it: <c>user_config</c>, <c>args</c>.</param>
    /// <param name="whose">The deployment's or application's, in words.</param>
    /// <param name="variable">Its name.</param>
    /// <param name="json">Its value.</param>
    public static string? Handed(string key, string whose, string variable, string json) => BytesOf(variable, json) is var bytes and > MostBytes
        ? $"{key} of {whose} is too long for its workers: they are given it in the variable {variable}, {bytes} bytes as JSON and with that name, and Linux takes {MostBytes} of one variable. Put what is long into a file, and write the file's name in {key}"
        : null;

    /// <inheritdoc cref="Handed"/>
    public static string? Variable(string name, string whose, string value) => TextRules.Argument(value) is null && LongestOf(value) + BytesOf(name, "") is var bytes and > MostBytes
        ? $"variable {name} of {whose} is too long for its workers: with its name it has {bytes} bytes, and Linux takes {MostBytes} of one variable. Put what is long into a file, and write the file's name in env_vars"
        : null;

    /// <inheritdoc cref="Handed"/>
    public static string? Argument(string whose, string value) => TextRules.Argument(value) is null && LongestOf(value) is var bytes and > MostBytes
        ? $"an argument in the command of {whose} is too long for its workers: it has {bytes} bytes, and Linux takes {MostBytes} of one argument. Put what is long into a file, and write the file's name in command"
        : null;

    /// <summary>As the system counts a variable: NAME=value.</summary>
    public static int BytesOf(string name, string value) => Encoding.UTF8.GetByteCount(name) + 1 + Encoding.UTF8.GetByteCount(value);

    /// <summary>With the longest paths where it asks for the socket's. A port is no longer than its mark.</summary>
    private static int LongestOf(string text)
    {
        int sockets = 0;
        for (int at = text.IndexOf(SocketMark, StringComparison.Ordinal); at >= 0; at = text.IndexOf(SocketMark, at + SocketMark.Length, StringComparison.Ordinal))
        {
            sockets++;
        }

        return Encoding.UTF8.GetByteCount(text) + (sockets * (MostBytesOfSocket - SocketMark.Length));
    }
}
