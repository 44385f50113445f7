using System.Diagnostics;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Programs of others that a test needs beside the published executable.</summary>
internal static class Programs
{
    /// <summary>Skips the test where the program is not there, or the executable is not.</summary>
    public static async Task SkipWithoutAsync(string program, params string[] probe)
    {
        _ = ServeBinary.Path;
        bool works = false;
        try
        {
            ProcessStartInfo start = new(program, probe) { RedirectStandardOutput = true, RedirectStandardError = true };
            using Process process = Process.Start(start)!;
            Task output = Task.WhenAll(
                process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken), process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            await output;
            works = process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            // There is no such program.
        }

        Assert.SkipUnless(works, $"{program} {string.Join(' ', probe)} does not work here.");
    }
}
