using System.Text.RegularExpressions;
using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

/// <summary>Holds the files that document the keys to the code.</summary>
public sealed partial class ShippedConfigTests
{
    private static readonly ServeConfig Shipped = new()
    {
        Http = new HttpOptionsConfig { RequestTimeout = TimeSpan.FromSeconds(30) },
        Applications =
        [
            new ApplicationConfig
            {
                ImportPath = "builtin:slow",
                Deployments =
                [
                    new DeploymentConfig
                    {
                        Name = "SlowDeployment",
                        NumReplicas = 1,
                        MaxOngoingRequests = 2,
                        MaxQueuedRequests = 2,
                        UserConfig = """{"message":"Hello!","delay_s":2.0}""",
                    },
                ],
            },
        ],
    };

    [Fact]
    public void ConfigToml_Always_ShowsEveryKeyAsTheTableHasIt() =>
        RepositoryFile.AssertIs("config.toml", ConfigWriter.ToToml(Shipped, comments: true));

    [Fact]
    public void ConfigurationMd_Always_IsWhatTheTableSays() =>
        RepositoryFile.AssertIs("docs/configuration.md", ConfigReference.ToMarkdown());

    [Fact]
    public void ConfigToml_Read_IsTheShippedConfiguration()
    {
        ConfigResult result = ConfigReader.ReadFile(RepositoryFile.Path("config.toml"), TestCatalog.Builtin);

        Assert.Empty(result.Errors);
        Assert.Equal(Shipped, result.Config);
    }

    [Fact]
    public void ConfigToml_EverythingUncommented_SetsEveryKey()
    {
        string shipped = RepositoryFile.Read("config.toml");

        // The load decides, or a number does: both at once is an error.
        // Code is compiled in, or there is a command.
        string all = CommentedKey().Replace(shipped, "$1$2")
            .Replace("num_replicas = 1\n", "num_replicas = \"auto\"\n", StringComparison.Ordinal)
            .Replace("\nimport_path = \"builtin:slow\"\n", "\n", StringComparison.Ordinal);
        ServeConfig config = TestCatalog.ReadValid(all);

        // The keys of a table in braces are explained above it, and its example need not have them all.
        Assert.All(
            Keys(ConfigKeys.Root.Keys, ConfigKeys.Root.ToNode(config)),
            pair => Assert.True(pair.Key.Name == "import_path" || pair.Node is not null || shipped.Contains($"# - {pair.Key.Name}: ", StringComparison.Ordinal), pair.Key.Name));
    }

    [Fact]
    public void ConfigToml_DefaultsInComments_AreThoseOfTheRecords()
    {
        string defaults = ConfigWriter.ToToml(new ServeConfig());

        Assert.Equal(TestCatalog.ReadValid(defaults), new ServeConfig());
        Assert.All(ConfigKeys.Root.Keys.Where(key => key.Shape == ConfigKeyShape.Table).SelectMany(key => key.Children), key =>
        {
            if (key.Default is not null)
            {
                Assert.Contains($"\n{key.Name} = {key.Default}\n", defaults, StringComparison.Ordinal);
            }
        });
    }

    private static IEnumerable<(ConfigKey Key, ConfigNode? Node)> Keys(IReadOnlyList<ConfigKey> keys, ConfigNode table)
    {
        foreach (ConfigKey key in keys)
        {
            ConfigNode? node = table.Find(key.Name);
            yield return (key, node);
            ConfigNode? inner = key.Children.Count == 0 ? null : node?.Kind == ConfigNodeKind.Array ? node.Items[0] : node;
            foreach ((ConfigKey, ConfigNode?) child in inner is null ? [] : Keys(key.Children, inner))
            {
                yield return child;
            }
        }
    }

    [GeneratedRegex("^( *)# ([a-z_]+ = .*)$", RegexOptions.Multiline)]
    private static partial Regex CommentedKey();
}
