using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using Serve.Embedded.Tests.Config;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>A copy of an example's folder, and its README, whose commands are run as they are written.</summary>
internal sealed partial class ExampleSite : IDisposable
{
    private readonly string _name;
    private readonly OperatorSite _site;

    public ExampleSite(string name)
    {
        _name = name;
        _site = new("");
        foreach (string file in Directory.GetFiles(RepositoryFile.Path($"examples/{name}")))
        {
            File.Copy(file, Path.Combine(_site.Folder, Path.GetFileName(file)), overwrite: true);
        }
    }

    /// <summary>The example's own configuration, on free ports.</summary>
    public Task<ServeProcess> StartAsync() => _site.StartAsync();

    /// <summary>Runs every command of the README that has something to send, and compares what it prints with what the README says: <c>...</c> stands for anything.</summary>
    public async Task FollowReadmeAsync(ServeProcess server, Action? afterReload = null)
    {
        List<(string Commands, string? Output)> steps = [.. Steps().Where(s => !s.Commands.StartsWith("dist/serve run ", StringComparison.Ordinal))];
        Assert.Contains(steps, s => s.Output is not null);
        foreach ((string commands, string? output) in steps)
        {
            int from = server.LineCount;
            (int exitCode, string printed) = await RunAsync(server, commands);

            Assert.True(exitCode == 0, $"{commands}\nended with {exitCode} and printed:\n{printed}");
            if (commands.Contains("kill -HUP", StringComparison.Ordinal))
            {
                await server.LineAsync("Reloaded ", from);
                afterReload?.Invoke();
            }

            if (output is not null)
            {
                string pattern = $"^{Regex.Escape(output).Replace("\\.\\.\\.", ".*", StringComparison.Ordinal)}$";
                Assert.True(Regex.IsMatch(printed.TrimEnd(), pattern), $"{commands}\nprinted:\n{printed}\nand the README says:\n{output}");
            }
        }
    }

    public void Dispose() => _site.Dispose();

    /// <summary>Each block of commands, with the block of text that follows it at once.</summary>
    private IEnumerable<(string Commands, string? Output)> Steps() =>
        from Match match in Block().Matches(RepositoryFile.Read($"examples/{_name}/README.md"))
        select (match.Groups[1].Value.TrimEnd(), match.Groups[2].Success ? match.Groups[2].Value.TrimEnd() : null);

    private async Task<(int ExitCode, string Printed)> RunAsync(ServeProcess server, string commands)
    {
        string here = commands
            .Replace("http://127.0.0.1:8000", server.Address.GetLeftPart(UriPartial.Authority), StringComparison.Ordinal)
            .Replace($"examples/{_name}/", $"{_site.Folder}/", StringComparison.Ordinal)
            .Replace("$(pidof serve)", $"{server.Id}", StringComparison.Ordinal);
        using Process shell = Process.Start(new ProcessStartInfo("bash", ["-c", here]) { WorkingDirectory = _site.Folder, RedirectStandardOutput = true, StandardOutputEncoding = Encoding.UTF8 })!;
        string printed = await shell.StandardOutput.ReadToEndAsync(server.Deadline);
        await shell.WaitForExitAsync(server.Deadline);
        return (shell.ExitCode, printed);
    }

    [GeneratedRegex(@"^```sh\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();
}
