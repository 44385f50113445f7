using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

/// <summary>What the tests of this room take to be compiled in, and short ways to read a text against it.</summary>
internal static class TestCatalog
{
    public const string Source = "config.toml";

    public static ConfigCatalog Builtin { get; } = new(new Dictionary<string, IReadOnlyList<string>>
    {
        ["builtin:slow"] = ["SlowDeployment"],
        ["builtin:echo"] = ["Echo"],
    })
    {
        Policies = ["queue"],
    };

    public static ConfigResult Read(string toml) => ConfigReader.ReadText(toml, Source, Builtin);

    public static ServeConfig ReadValid(string toml)
    {
        ConfigResult result = Read(toml);
        Assert.True(result.IsValid, Lines(result));
        return result.Config;
    }

    public static string Lines(ConfigResult result) => string.Join("\n", result.Errors);
}
