using System.Diagnostics;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Replicas.Workers;

/// <summary>Processes that have left their worker's session, as the system shows them.</summary>
public sealed class WorkerMarkTests : IDisposable
{
    private const string Mark = "1-2-3";

    private const int UserProcess = 0x0040_0000;

    private const int KernelThread = 0x0020_0000;

    private readonly TempFolder _processes = new();
    private readonly Process _remains = Process.Start("sleep", "1000");

    private int _waits;

    public void Dispose()
    {
        _remains.Kill();
        _remains.Dispose();
        _processes.Dispose();
    }

    /// <summary>In that instant it has no environment, and would escape for ever.</summary>
    [Fact]
    public async Task KillRemains_OneIsJustBecomingAnotherProgram_IsWaitedForAndKilled()
    {
        Show(UserProcess, environment: "");

        Kill(() => Show(UserProcess, $"A=b\0SERVE_WORKER={Mark}\0"));

        await _remains.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(1, _waits);
    }

    [Theory]
    [InlineData(UserProcess, "", 40)]
    [InlineData(KernelThread, "", 0)]
    [InlineData(UserProcess, "A=b\0SERVE_WORKER=1-2-34\0", 0)]
    public void KillRemains_OneIsNotTheWorkers_LivesAndIsNotWaitedForWithoutEnd(int flags, string environment, int waits)
    {
        Show(flags, environment);

        Kill(() => { });

        Assert.False(_remains.HasExited);
        Assert.Equal(waits, _waits);
    }

    /// <summary>There may be thousands, and the worker is not known to have ended before they have been looked at.</summary>
    [Fact]
    public void KillRemains_OneHasNoEnvironmentForGood_TheOthersAreLookedAtOnce()
    {
        Show(UserProcess, "A=b\0");
        Directory.CreateDirectory(Path.Combine(_processes.Path, "999999999"));
        _processes.Write("999999999/stat", $"999999999 (idle) S 7 8 9 0 -1 {UserProcess} 0 0");
        _processes.Write("999999999/environ", "");

        Kill(() => Show(UserProcess, $"SERVE_WORKER={Mark}\0"));

        Assert.False(_remains.HasExited);
        Assert.Equal(40, _waits);
    }

    private void Kill(Action wait) => WorkerMark.KillRemains(leader: 1, Mark, _processes.Path, () =>
    {
        _waits++;
        wait();
    });

    private void Show(int flags, string environment)
    {
        Directory.CreateDirectory(Path.Combine(_processes.Path, $"{_remains.Id}"));
        _processes.Write($"{_remains.Id}/stat", $"{_remains.Id} (sl) eep) S 7 8 9 0 -1 {flags} 0 0");
        _processes.Write($"{_remains.Id}/environ", environment);
    }
}
