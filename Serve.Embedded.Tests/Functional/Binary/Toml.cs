using System.Globalization;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Configurations that the tests of the executable write.</summary>
internal static class Toml
{
    public static string Slow(double delay = 0.0, int replicas = 1, int ongoing = 2, int queued = 2, string message = "Hello!", string http = "", string prefix = "/", string more = "") => string.Create(
        CultureInfo.InvariantCulture,
        $$"""
        [http_options]
        {{http}}

        [[applications]]
        name = "slow"
        route_prefix = "{{prefix}}"
        import_path = "builtin:slow"

          [[applications.deployments]]
          name = "SlowDeployment"
          num_replicas = {{replicas}}
          max_ongoing_requests = {{ongoing}}
          max_queued_requests = {{queued}}
          user_config = { message = "{{message}}", delay_s = {{delay:0.0##}} }
          {{more}}

        """);

    public static string Echo(string http = "", string prefix = "/", string name = "echo") =>
        $"""
        [http_options]
        {http}

        {EchoApplication(prefix, name)}
        """;

    public static string EchoApplication(string prefix = "/echo", string name = "echo") =>
        $"""

        [[applications]]
        name = "{name}"
        route_prefix = "{prefix}"
        import_path = "builtin:echo"

        """;

    public static string Logging(string options) =>
        $"""

        [logging_config]
        {options}

        """;
}
