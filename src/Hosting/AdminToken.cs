namespace Serve.Embedded.Hosting;

/// <summary>The admin port's token, from the operator's file.</summary>
internal static class AdminToken
{
    /// <param name="file"><see langword="null"/> = no token is asked for.</param>
    /// <exception cref="ServeException">The file cannot be read, or there is nothing in it: better no server than an open one.</exception>
    public static string? Read(string? file)
    {
        if (file is null)
        {
            return null;
        }

        try
        {
            return File.ReadAllText(file).Trim() is { Length: > 0 } token
                ? token
                : throw new ServeException($"admin_options.token_file = \"{file}\" is empty. Write a token into it, or remove the key.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ServeException($"admin_options.token_file = \"{file}\" cannot be read: {exception.Message}", exception);
        }
    }
}
