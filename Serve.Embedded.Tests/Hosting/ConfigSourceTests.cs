using System.Text;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Hosting;

namespace Serve.Embedded.Tests.Hosting;

public sealed class ConfigSourceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("serve-source-").FullName;

    private string File => Path.Combine(_folder, "config.toml");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Read_FlagAndVariable_BeatTheFileInThisOrder()
    {
        Write("[http_options]\nport = 1\nhost = \"10.0.0.1\"\n[[applications]]\nimport_path = \"builtin:echo\"\n");
        Dictionary<string, string> environment = new() { ["SERVE_HTTP_PORT"] = "2", ["SERVE_HTTP_HOST"] = "10.0.0.2", ["SERVE_ADMIN_PORT"] = "" };

        ConfigResult result = Source(new() { ["--port"] = "3" }, environment).Read();

        Assert.True(result.IsValid);
        Assert.Equal(3, result.Config.Http.Port);
        Assert.Equal("10.0.0.2", result.Config.Http.Host);
        Assert.Equal(8265, result.Config.Admin.Port);
    }

    [Fact]
    public void Read_EveryTime_ReadsTheFileAnew()
    {
        ConfigSource source = Source();
        Write("[http_options]\nport = 1\n[[applications]]\nimport_path = \"builtin:echo\"\n");
        int before = source.Read().Config!.Http.Port;
        Write("[http_options]\nport = 2\n[[applications]]\nimport_path = \"builtin:echo\"\n");

        Assert.Equal(1, before);
        Assert.Equal(2, source.Read().Config!.Http.Port);
    }

    [Fact]
    public void Read_WrongFlag_NamesIt()
    {
        Write("[[applications]]\nimport_path = \"builtin:echo\"\n");

        ConfigResult result = Source(new() { ["--port"] = "99999" }).Read();

        Assert.StartsWith("--port", Assert.Single(result.Errors).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Read_ImportPathThatIsNotRegistered_IsAnErrorWithItsPlace()
    {
        Write("[[applications]]\nimport_path = \"builtin:other\"\n");

        ConfigError error = Assert.Single(Source().Read().Errors);

        Assert.Equal((2, 15), (error.Line, error.Column));
    }

    [Fact]
    public async Task WriteErrors_SaysEachAndHowMany()
    {
        using StringWriter writer = new();
        Write("[http_options]\nport = -1\nhots = 1\n[[applications]]\nimport_path = \"builtin:echo\"\n");

        await ConfigSource.WriteErrorsAsync(Source().Read(), writer);

        string[] lines = writer.ToString().TrimEnd().Split(Environment.NewLine);
        Assert.Equal(3, lines.Length);
        Assert.All(lines[..2], l => Assert.StartsWith(File + ":", l, StringComparison.Ordinal));
        Assert.Equal("2 error(s); nothing was started.", lines[2]);
    }

    private void Write(string text) => System.IO.File.WriteAllText(File, text);

    [Fact]
    public void Read_SentFromAnotherFolder_SeesTheFoldersOfWorkersFromThere()
    {
        Write("[[applications]]\nimport_path = \"builtin:echo\"\n");
        string other = Directory.CreateDirectory(Path.Combine(_folder, "other")).FullName;
        const string Sent =
            """
            applications = [
              { name = "unset", route_prefix = "/unset", deployments = [{ name = "d", command = ["x"] }] },
              { name = "below", route_prefix = "/below", runtime_env = { working_dir = "a" }, deployments = [{ name = "d", command = ["x"], runtime_env = { working_dir = "../b" } }] },
              { name = "whole", route_prefix = "/whole", import_path = "python:m.M", runtime_env = { working_dir = "/srv/whole" } },
              { name = "none", import_path = "builtin:echo" },
            ]
            """;

        string?[] Folders(string? folder) =>
            [.. Source().Read(Encoding.UTF8.GetBytes(Sent), isJson: false, "sent", folder, new()).Config!.Applications.SelectMany(a => (string?[])[a.RuntimeEnv?.WorkingDir, .. a.Deployments.Select(d => d.Worker.RuntimeEnv?.WorkingDir)])];

        string?[] asWritten = [null, null, "a", "../b", "/srv/whole", null];
        Assert.Equal([other, null, Path.Combine(other, "a"), Path.Combine(_folder, "b"), "/srv/whole", null], Folders(other));
        Assert.Equal(asWritten, Folders(null));
        Assert.Equal(asWritten, Folders(_folder));
        Assert.Equal(asWritten, Folders("other"));
        Assert.Equal(asWritten, Folders(Path.Combine(_folder, "gone")));
    }

    private ConfigSource Source(Dictionary<string, string>? flags = null, Dictionary<string, string>? environment = null) =>
        new(File, new DeploymentRegistry().AddBuiltIn(), flags ?? [], (environment ?? []).GetValueOrDefault);
}
