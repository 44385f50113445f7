using Serve.Embedded.Config;

namespace Serve.Embedded.Hosting;

/// <summary>What a file says and a program that embeds the server decides: connections and lines of the log are the program's own.</summary>
internal static class HostsKeys
{
    /// <returns>The keys that were written, other than by their defaults, and have no effect.</returns>
    public static IReadOnlyList<string> In(ServeConfig config, ServeOptions options) =>
        [.. ConfigDiff.Compare(new ServeConfig(), config with { Applications = [] }).Select(change => change.Path).Where(path => IsTheHosts(path, options))];

    private static bool IsTheHosts(string path, ServeOptions options) => path switch
    {
        "http_options.host" or "http_options.port" or "http_options.max_connections" or "http_options.keep_alive_timeout_s" or "http_options.shutdown_delay_s" => !options.ListenOnHttpPort,
        "admin_options.host" or "admin_options.port" => !options.ListenOnAdminPort,
        "logging_config.enable_access_log" => false,
        _ => path.StartsWith("logging_config.", StringComparison.Ordinal),
    };
}
