using System.Text;
using Serve.Embedded.Config;

namespace Serve.Embedded.Controller.Generations;

/// <summary>Where a server keeps what must outlive it: one folder per configuration file, below the operator's, systemd's or the user's folder for state.</summary>
internal static class StateDirectory
{
    private const int LongestName = 64;

    /// <param name="chosen">The operator's <c>state_dir</c>, seen from the folder of the configuration, so that it is the same wherever the server is started; or <see langword="null"/>.</param>
    /// <param name="configFile">The configuration's path; <see langword="null"/> where applications come from code or REST alone.</param>
    /// <param name="environment">Reads an environment variable.</param>
    /// <param name="home">The user's home, or <see langword="null"/>.</param>
    /// <returns>A full path; <see langword="null"/> where nothing says where state could be.</returns>
    public static string? Resolve(string? chosen, string? configFile, Func<string, string?> environment, string? home)
    {
        string? parent = (Set(chosen) is { } own ? Path.GetFullPath(own, ConfigFile.FolderOf(configFile)) : null)
            ?? Set(environment("STATE_DIRECTORY")?.Split(':', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault())
            ?? XdgState(environment, home);
        return parent is null ? null : Path.Combine(Path.GetFullPath(parent), NameFor(configFile));
    }

    /// <summary>
    /// Readable, and unlike that of any other file: the name of the file and a hash of its full path. Links are not followed, because what they lead to changes where they are used to swap files.
    /// </summary>
    private static string NameFor(string? configFile)
    {
        if (configFile is null)
        {
            return "no-file";
        }

        string full = Path.GetFullPath(configFile);
        StringBuilder name = new();
        foreach (char c in Path.GetFileName(full).AsSpan().TrimStart('.'))
        {
            if (name.Length == LongestName)
            {
                break;
            }

            name.Append(char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_' ? c : '_');
        }

        return $"{name}-{Checksum.Of(Encoding.UTF8.GetBytes(full))}";
    }

    /// <summary>The XDG rules: a relative path in the variable counts as not set.</summary>
    private static string? XdgState(Func<string, string?> environment, string? home)
    {
        if (Set(environment("XDG_STATE_HOME")) is string state && Path.IsPathRooted(state))
        {
            return Path.Combine(state, "serve");
        }

        return Set(home) is string user ? Path.Combine(user, ".local", "state", "serve") : null;
    }

    private static string? Set(string? value) => string.IsNullOrEmpty(value) ? null : value;
}
