using Serve.Embedded.Controller.Generations;

namespace Serve.Embedded.Tests.Controller.Generations;

public sealed class StateDirectoryTests
{
    [Theory]
    [InlineData("/chosen", "/run/systemd/a", "/xdg", "/home/u", "/chosen")]
    [InlineData(null, "/var/lib/serve", "/xdg", "/home/u", "/var/lib/serve")]
    [InlineData(null, "/var/lib/serve:/var/lib/other", "/xdg", "/home/u", "/var/lib/serve")]
    [InlineData("", "", "/xdg", "/home/u", "/xdg/serve")]
    [InlineData(null, null, "relative", "/home/u", "/home/u/.local/state/serve")]
    [InlineData(null, null, null, "/home/u", "/home/u/.local/state/serve")]
    public void Resolve_TheFirstThatIsSet_Decides(string? chosen, string? systemd, string? xdg, string? home, string expected)
    {
        string? folder = StateDirectory.Resolve(chosen, "/etc/serve/config.toml", name => name switch { "STATE_DIRECTORY" => systemd, "XDG_STATE_HOME" => xdg, _ => null }, home);

        Assert.Equal(expected, Path.GetDirectoryName(folder));
    }

    /// <summary>Else the same file would have another history with each folder that the server is started in.</summary>
    [Fact]
    public void Resolve_RelativeChosen_IsSeenFromTheFolderOfTheFile() =>
        Assert.Equal("/etc/serve/state", Path.GetDirectoryName(StateDirectory.Resolve("state", "/etc/serve/config.toml", _ => null, null)));

    [Fact]
    public void Resolve_NothingSet_IsNowhere() => Assert.Null(StateDirectory.Resolve(null, "/etc/serve/config.toml", _ => null, null));

    [Fact]
    public void Resolve_EachConfigFile_HasItsOwnFolderForEver()
    {
        Assert.Equal("/s/config.toml-ae5f0558", Resolve("/etc/serve/config.toml"));
        Assert.Equal(Resolve("/etc/serve/config.toml"), Resolve("/etc/other/../serve/config.toml"));
        Assert.NotEqual(Resolve("/etc/serve/config.toml"), Resolve("/etc/other/config.toml"));
        Assert.Equal(Resolve(Path.GetFullPath("config.toml")), Resolve("config.toml"));
        Assert.Equal("/s/no-file", Resolve(null));
    }

    [Theory]
    [InlineData("/a/..hidden", "hidden-")]
    [InlineData("/a/mein Größtes.toml", "mein_Gr__tes.toml-")]
    [InlineData("/a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.toml", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-")]
    public void Resolve_AnyName_IsAPlainOne(string config, string start)
    {
        string name = Path.GetFileName(Resolve(config))!;

        Assert.StartsWith(start, name, StringComparison.Ordinal);
        Assert.Equal(start.Length + 8, name.Length);
    }

    private static string? Resolve(string? config) => StateDirectory.Resolve("/s", config, _ => null, null);
}
