using System.Text;
using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

public sealed class ConfigWriterTests
{
    [Fact]
    public void ToToml_Default_IsEveryKeyThatHasAValue() => Assert.Equal(
        """
        applications = []

        [http_options]
        host = "127.0.0.1"
        port = 8000
        keep_alive_timeout_s = 90.0
        max_connections = 10000
        max_request_body_bytes = 104857600
        shutdown_delay_s = 0.0

        [admin_options]
        host = "127.0.0.1"
        port = 8265
        allowed_hosts = []

        [logging_config]
        encoding = "TEXT"
        log_level = "INFO"
        enable_access_log = true

        [controller_options]

        [box]

        """, ConfigWriter.ToToml(new ServeConfig()));

    [Fact]
    public void ToToml_WithCommentsAndTwoApplications_ExplainsOnce()
    {
        ServeConfig config = new()
        {
            Applications =
            [
                new ApplicationConfig { ImportPath = "builtin:slow" },
                new ApplicationConfig { Name = "second", RoutePrefix = "/second", ImportPath = "builtin:echo" },
            ],
        };

        Assert.EndsWith(
            """

            [[applications]]
            name = "second"
            route_prefix = "/second"
            import_path = "builtin:echo"

            """, ConfigWriter.ToToml(config, comments: true), StringComparison.Ordinal);
    }

    [Fact]
    public void ToJson_Configuration_IsTheSameKeys() => Assert.Contains(
        """
          "applications": [
            {
              "name": "default",
              "route_prefix": "/",
              "import_path": "builtin:slow",
              "deployments": [
                {
                  "name": "SlowDeployment",
                  "user_config": {
                    "delay_s": 2.0
                  }
                }
              ]
            }
          ]
        """,
        ConfigWriter.ToJson(new ServeConfig
        {
            Applications = [new ApplicationConfig { ImportPath = "builtin:slow", Deployments = [new DeploymentConfig { Name = "SlowDeployment", UserConfig = """{"delay_s":2.0}""" }] }],
        }),
        StringComparison.Ordinal);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Write_RandomConfigurations_AreReadBackEqual(int seed)
    {
        RandomConfig random = new(seed);
        for (int i = 0; i < 200; i++)
        {
            ServeConfig config = random.Next();

            AssertReadBack(config, TestCatalog.Read(ConfigWriter.ToToml(config)), $"TOML, seed {seed}, number {i}");
            AssertReadBack(config, TestCatalog.Read(ConfigWriter.ToToml(config, comments: true)), $"TOML with comments, seed {seed}, number {i}");
            AssertReadBack(config, ConfigReader.ReadJson(Encoding.UTF8.GetBytes(ConfigWriter.ToJson(config)), "json", TestCatalog.Builtin), $"JSON, seed {seed}, number {i}");
        }
    }

    private static void AssertReadBack(ServeConfig expected, ConfigResult actual, string which)
    {
        Assert.True(actual.IsValid, $"{which}: {TestCatalog.Lines(actual)}");
        Assert.True(expected == actual.Config, which);
        Assert.Empty(ConfigDiff.Compare(expected, actual.Config));
    }
}
