namespace Serve.Embedded.Hosting;

/// <summary>The admin port's token, from the operator's file.</summary>
internal static class AdminToken
{
    /// <summary>Whether it can stand in a header.</summary>
    public static bool IsSendable(string token) => token.All(static c => c is >= ' ' and <= '~');

    /// <param name="file"><see langword="null"/> = no token is asked for.</param>
    /// <param name="folder">The configuration's, from which a relative path is seen.</param>
    /// <exception cref="ServeException">The file cannot be read, or there is nothing in it: better no server than an open one.</exception>
    public static string? Read(string? file, string folder)
    {
        if (file is null)
        {
            return null;
        }

        try
        {
            string token = File.ReadAllText(Path.GetFullPath(file, folder)).Trim();
            return token.Length == 0 ? throw new ServeException($"admin_options.token_file = \"{file}\" is empty. Write a token into it, or remove the key.")
                : !IsSendable(token) ? throw new ServeException($"admin_options.token_file = \"{file}\" holds what no request can send: a token is one line of ASCII characters. Write another one into it.")
                : token;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ServeException($"admin_options.token_file = \"{file}\" cannot be read: {exception.Message}", exception);
        }
    }
}
