using System.Net;
using System.Net.Sockets;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Files that are no configuration, ports that are taken, and what beats the file.</summary>
public sealed class BinaryFilesTests
{
    [Theory]
    [InlineData("", "applications")]
    [InlineData("[http_options\nport = 1\n", "config.toml:1:")]
    [InlineData("[http_options]\nprot = 1\n[[applications]]\nimport_path = \"builtin:echo\"\n", "config.toml:2:1: ", "port")]
    [InlineData("[http_options]\nport = \"x\"\nrequest_timeout_s = true\n[[applications]]\nimport_path = \"builtin:echo\"\n", "config.toml:2:8: ", "config.toml:3:21: ")]
    [InlineData("[[applications]]\nimport_path = \"builtin:slo\"\n", "config.toml:2:15: ", "builtin:slow")]
    [InlineData("[[applications]]\nname = \"a\"\nimport_path = \"builtin:echo\"\n[[applications]]\nname = \"a\"\nimport_path = \"builtin:echo\"\n", "config.toml:5:8: ", "route_prefix")]
    [InlineData("[[applications]]\nimport_path = \"builtin:slow\"\n[[applications.deployments]]\nname = \"SlowDeployment\"\nnum_replicas = 0\nmax_ongoing_requests = -3\n", "config.toml:5:16: ", "config.toml:6:24: ")]
    public async Task RunAndCheck_BrokenText_SayEveryErrorAndStartNothing(string text, params string[] said)
    {
        using TempFolder folder = new();
        string file = folder.Write("config.toml", text);

        await RefusedAsync(file, said);
    }

    [Fact]
    public async Task RunAndCheck_MissingFile_SaySo() => await RefusedAsync("/nowhere/config.toml", "there is no such file");

    [Fact]
    public async Task RunAndCheck_Directory_SaySo() => await RefusedAsync("/tmp", "this is a directory");

    [Fact]
    public async Task RunAndCheck_NotUtf8_SayWhere()
    {
        using TempFolder folder = new();
        string file = Path.Combine(folder.Path, "config.toml");
        await File.WriteAllBytesAsync(file, [.. "# fine\nname = \""u8, 0xE9, .. "\"\n"u8], TestContext.Current.CancellationToken);

        await RefusedAsync(file, "config.toml:2:9: not UTF-8");
    }

    [Fact]
    public async Task RunAndCheck_FiftyMegabytes_AreRefusedUnread()
    {
        using TempFolder folder = new();
        string file = Path.Combine(folder.Path, "config.toml");
        await using (FileStream stream = File.Create(file))
        {
            stream.SetLength(50 << 20);
        }

        await RefusedAsync(file, "larger than 16 MiB");
    }

    [Fact]
    public async Task Run_PortInUse_SaysWhichKeyToChange()
    {
        using TcpListener taken = new(IPAddress.Loopback, 0);
        taken.Start();
        string port = ((IPEndPoint)taken.LocalEndpoint).Port.ToString(null as IFormatProvider);
        using TempFolder folder = new();
        string file = folder.Write("config.toml", Toml.Echo());

        Finished data = await ServeBinary.RunAsync("run", file, "--port", port, "--admin-port", "0");
        Finished admin = await ServeBinary.RunAsync("run", file, "--port", "0", "--admin-port", port);

        Assert.Equal(1, data.ExitCode);
        Assert.Equal($"Cannot listen on 127.0.0.1:{port} (http_options): Address already in use. Stop what listens there, or choose another http_options.port.\n", data.Error);
        Assert.Equal(1, admin.ExitCode);
        Assert.Contains($"127.0.0.1:{port} (admin_options)", admin.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_AddressThatTheMachineDoesNotHave_SaysWhichKeyToChange()
    {
        using TempFolder folder = new();

        Finished run = await ServeBinary.RunAsync("run", folder.Write("config.toml", Toml.Echo()), "--host", "192.0.2.1", "--port", "0", "--admin-port", "0");

        Assert.Equal(1, run.ExitCode);
        Assert.Contains("Cannot listen on 192.0.2.1:0 (http_options): ", run.Error, StringComparison.Ordinal);
        Assert.Contains("choose another http_options.host", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_RelativePathsInTheFile_AreSeenFromItsFolder()
    {
        using OperatorSite site = new(string.Empty);
        site.Write("token", "s3cret\n");
        site.Write($"[admin_options]\ntoken_file = \"token\"\n[controller_options]\nstate_dir = \"state-of-mine\"\n{Toml.Echo()}");
        await using ServeProcess server = ServeProcess.Follow(
            ServeBinary.Start(new() { Arguments = ["run", site.ConfigPath, "--port", "0", "--admin-port", "0"], Directory = "/proc", Environment = site.Environment }), site.ConfigPath);
        await server.ReadyAsync();

        Assert.DoesNotContain(server.Lines, l => l.Contains("Generations are kept in memory only", StringComparison.Ordinal));
        Assert.NotEmpty(Directory.GetDirectories(Path.Combine(site.Folder, "state-of-mine")));
    }

    [Fact]
    public async Task Run_EnvironmentAndFlags_BeatTheFile()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(
            Toml.Echo("host = \"203.0.113.1\"\nport = 1"),
            environment: new Dictionary<string, string> { ["SERVE_HTTP_HOST"] = "127.0.0.1", ["SERVE_HTTP_PORT"] = "2", ["SERVE_LOG_LEVEL"] = "DEBUG" });

        Assert.Equal("127.0.0.1", server.Address.Host);
        Assert.True(server.Address.Port > 2);
        Assert.Equal("ok", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Theory]
    [InlineData("--port", "80000")]
    [InlineData("--port", "x")]
    [InlineData("--log-level", "LOUD")]
    public async Task Run_FlagOutOfRange_NamesTheFlag(string flag, string value)
    {
        using TempFolder folder = new();
        string file = folder.Write("config.toml", Toml.Echo());

        Finished run = await ServeBinary.RunAsync("run", file, flag, value);

        Assert.Equal(1, run.ExitCode);
        Assert.Contains(flag, run.Error, StringComparison.Ordinal);
        Assert.Contains(value, run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_ShippedConfiguration_IsServed()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Guards.Repository.Read("config.toml"));

        Assert.Equal("success", await server.Client.GetStringAsync("/-/readyz", server.Deadline));
        Assert.Equal("{\"/\":\"default\"}", await server.Client.GetStringAsync("/-/routes", server.Deadline));
    }

    private static async Task RefusedAsync(string file, params string[] said)
    {
        Finished run = await ServeBinary.RunAsync("run", file, "--port", "0", "--admin-port", "0");
        Finished check = await ServeBinary.RunAsync("check", file);

        Assert.Equal(1, run.ExitCode);
        Assert.Equal(1, check.ExitCode);
        Assert.Equal(run.Error, check.Error);
        Assert.All(said, text => Assert.Contains(text, run.Error, StringComparison.Ordinal));
        Assert.EndsWith("error(s); nothing was started.\n", run.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("Ready", run.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", run.Error, StringComparison.Ordinal);
    }
}
