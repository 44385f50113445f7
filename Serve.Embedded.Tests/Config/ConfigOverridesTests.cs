using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

public sealed class ConfigOverridesTests
{
    private static readonly ServeConfig Written = new() { Http = new HttpOptionsConfig { Port = 1, MaxConnections = 7 } };

    [Fact]
    public void Apply_Nothing_IsTheFile() => Assert.Equal(Written, Apply([], []).Config);

    [Fact]
    public void Apply_FlagVariableAndFile_FlagWins() =>
        Assert.Equal(3, Apply(new() { ["--port"] = "3" }, new() { ["SERVE_HTTP_PORT"] = "2" }).Config!.Http.Port);

    [Fact]
    public void Apply_VariableAndFile_VariableWinsAndTheRestStays() =>
        Assert.Equal(new HttpOptionsConfig { Port = 2, MaxConnections = 7 }, Apply([], new() { ["SERVE_HTTP_PORT"] = "2" }).Config!.Http);

    [Fact]
    public void Apply_EmptyVariable_IsNotSet() => Assert.Equal(Written, Apply([], new() { ["SERVE_HTTP_PORT"] = "" }).Config);

    [Fact]
    public void Apply_All_AllAreSet()
    {
        ServeConfig config = Apply(
            new() { ["--host"] = "::", ["--admin-host"] = "localhost", ["--admin-port"] = "0", ["--log-level"] = "debug" },
            new() { ["SERVE_HTTP_PORT"] = "80" }).Config!;

        Assert.Equal(("::", 80), (config.Http.Host, config.Http.Port));
        Assert.Equal(new AdminOptionsConfig { Host = "localhost", Port = 0 }, config.Admin);
        Assert.Equal(LogLevel.Debug, config.Logging.Level);
    }

    [Fact]
    public void Apply_BadValues_NamesEveryFlagAndVariable()
    {
        ConfigResult result = Apply(
            new() { ["--port"] = "http", ["--host"] = "" },
            new() { ["SERVE_ADMIN_PORT"] = "70000", ["SERVE_LOG_LEVEL"] = "ERORR" });

        Assert.Equal(
            """
            --host: host must be an IP address or a host name, not "": it is empty
            --port: port must be an integer from 0 to 65535 (0 = any free port), not "http"
            SERVE_ADMIN_PORT: port must be an integer from 0 to 65535 (0 = any free port), not 70000
            SERVE_LOG_LEVEL: log_level must be one of "TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", not "ERORR"; did you mean 'ERROR'?
            """, TestCatalog.Lines(result));
    }

    private static ConfigResult Apply(Dictionary<string, string> flags, Dictionary<string, string> environment) =>
        ConfigOverrides.Apply(Written, flags, environment.GetValueOrDefault);
}
