using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Cli;

/// <summary>What a configuration asks for and this machine does not have.</summary>
public sealed class CheckWorkersTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("command = [\"sh\", \"-c\", \"x {socket}\"]", null)]
    [InlineData("command = [\"no-such-program\", \"{socket}\"]", "deployment 'W' of application 'a' cannot start here: The program 'no-such-program' is not in any folder of the worker's PATH")]
    [InlineData("command = [\"./start.sh\"]", "deployment 'W' of application 'a' cannot start here: The program './start.sh' cannot be started: there is no file")]
    [InlineData("command = [\"sh\"]\nruntime_env = { working_dir = \"models\" }", "The working directory '{folder}/models' does not exist")]
    public async Task Check_Command_WarnsOfWhatIsMissingHere(string worker, string? warning)
    {
        string file = _folder.Write("config.toml", $"[[applications]]\nname = \"a\"\nroute_prefix = \"/a\"\n[[applications.deployments]]\nname = \"W\"\n{worker}\n");

        await AssertWarnsAsync(file, warning);
    }

    [Theory]
    [InlineData("model.Model", null)]
    [InlineData("package.Model", null)]
    [InlineData("modle.Model", "there is no file {folder}/modle.py for import_path = \"python:modle.Model\"")]
    public async Task Check_Python_WarnsOfAFileThatIsNotHere(string name, string? warning)
    {
        _folder.Write("model.py", "");
        Directory.CreateDirectory(Path.Combine(_folder.Path, "package"));
        string file = _folder.Write("config.toml", $"[[applications]]\nname = \"a\"\nroute_prefix = \"/a\"\nimport_path = \"python:{name}\"\npython = \"sh\"\n");

        await AssertWarnsAsync(file, warning);
    }

    private async Task AssertWarnsAsync(string file, string? warning)
    {
        CliRun check = await CliRun.RunAsync("check", file);
        CliRun json = await CliRun.RunAsync("check", file, "--json");

        Assert.Equal(0, check.ExitCode);
        Assert.EndsWith("is valid: 1 application(s), 1 deployment(s).", check.Out.Trim(), StringComparison.Ordinal);
        if (warning is null)
        {
            Assert.Empty(check.Error);
            Assert.Contains("\"warnings\":[]", json.Out, StringComparison.Ordinal);
            return;
        }

        string said = Assert.Single(check.Error.TrimEnd().Split('\n'));
        Assert.StartsWith($"{file}: warning: ", said, StringComparison.Ordinal);
        Assert.Contains(warning.Replace("{folder}", _folder.Path, StringComparison.Ordinal), said, StringComparison.Ordinal);
        Assert.Contains("warning: ", json.Out, StringComparison.Ordinal);
    }
}
