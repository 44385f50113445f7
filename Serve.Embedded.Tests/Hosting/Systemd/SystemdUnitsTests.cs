using System.ComponentModel;
using System.Diagnostics;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Hosting.Systemd;

/// <summary>The units of the example, as systemd itself reads them.</summary>
public sealed class SystemdUnitsTests
{
    private const string Executable = "/usr/local/bin/serve";

    [Fact]
    public async Task Units_ByTheToolOfSystemd_AreRight()
    {
        string output = await VerifyAsync(unit => unit);

        Assert.Equal("", output);
    }

    /// <summary>So that the test above can fail.</summary>
    [Fact]
    public async Task Units_WithAMistake_AreFoundOut()
    {
        string output = await VerifyAsync(unit => unit.Replace("ProtectHome=yes", "ProtectHomes=yes", StringComparison.Ordinal));

        Assert.Contains("ProtectHomes", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Units_SpeakTheProtocolsThatTheServerSpeaks()
    {
        string unit = Repository.Read("examples/systemd/serve.service");

        Assert.Contains("\nType=notify\n", unit, StringComparison.Ordinal);
        Assert.Contains("\nExecReload=/bin/kill -HUP $MAINPID\n", unit, StringComparison.Ordinal);
        Assert.Contains("\nFileDescriptorName=http\n", Repository.Read("examples/systemd/serve.socket"), StringComparison.Ordinal);
    }

    /// <summary>Errors and warnings; the executable of the units is one that exists, since the tool looks for it.</summary>
    private static async Task<string> VerifyAsync(Func<string, string> change)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("serve-units-");
        try
        {
            foreach (string unit in (string[])["serve.service", "serve.socket"])
            {
                string text = change(Repository.Read($"examples/systemd/{unit}").Replace(Executable, Environment.ProcessPath!, StringComparison.Ordinal));
                await File.WriteAllTextAsync(Path.Combine(folder.FullName, unit), text, TestContext.Current.CancellationToken);
            }

            ProcessStartInfo start = new("systemd-analyze", ["verify", "--man=no", "./serve.service", "./serve.socket"])
            {
                WorkingDirectory = folder.FullName,
                RedirectStandardError = true,
                RedirectStandardOutput = true,
            };
            using Process process = Start(start);
            Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            string error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);

            // It judges what our units pull in as well, and other packages' units are not ours to mend.
            IEnumerable<string> lines = (error + await output).Split('\n', StringSplitOptions.RemoveEmptyEntries);
            return string.Join('\n', lines.Where(l => l.Contains("serve.", StringComparison.Ordinal)));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception)
        {
            Assert.Skip("systemd-analyze is not installed here (on Debian: apt-get install systemd).");
            throw;
        }
    }
}
