using System.Globalization;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Replicas.Workers;

/// <summary>With the control groups of this machine, where there are some that this user may make.</summary>
[System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
public sealed class RealWorkerGroupsTests : IAsyncDisposable
{
    /// <summary>On a signal, since only then it is certain to be in its group, it starts one whom neither its process group nor its mark finds.</summary>
    private const string WithEscapee = "trap 'setsid env -i sleep 1000 & echo $!' USR1; trap 'exit 3' USR2; trap '' TERM; echo up; while :; do sleep 1000 & wait; done";

    private readonly WorkerGroups _groups = WorkerGroups.OfThisProcess();
    private readonly TestWorkers _workers;

    public RealWorkerGroupsTests()
    {
        _workers = new(_groups);
        Assert.SkipUnless(_groups.Folder is not null, "This user may make no control groups here.");
    }

    [Fact]
    public async Task Start_Worker_IsInAGroupOfItsOwnThatGoesWithIt()
    {
        WorkerProcess worker = await _workers.StartedAsync(WithEscapee);

        Assert.Contains($"/{Path.GetFileName(_groups.Folder)}/w1", await File.ReadAllTextAsync($"/proc/{worker.Id}/cgroup", TestContext.Current.CancellationToken), StringComparison.Ordinal);
        await worker.StopAsync(TimeSpan.Zero).WaitAsync(TestContext.Current.CancellationToken);

        AssertGoes($"{_groups.Folder}/w1", _groups);
    }

    [Theory]
    [InlineData(null, "[0-9]+")]
    [InlineData(77L, "77")]
    public async Task Start_WorkerForksAtOnce_ItsChildIsInTheGroupAndUnderTheLimitsToo(long? openFiles, string inForce)
    {
        for (int i = 1; i <= 20; i++)
        {
            WorkerProcess worker = await _workers.StartedAsync(TestWorkers.Shell("sleep 1000 & echo $!; wait") with { Limits = new() { OpenFiles = openFiles } });
            string child = _workers.Texts.Last();

            Assert.EndsWith($"/w{i}\n", await File.ReadAllTextAsync($"/proc/{child}/cgroup", TestContext.Current.CancellationToken), StringComparison.Ordinal);
            Assert.Matches($"Max open files +{inForce} +{inForce} ", await File.ReadAllTextAsync($"/proc/{child}/limits", TestContext.Current.CancellationToken));
            await worker.StopAsync(TimeSpan.Zero).WaitAsync(TestContext.Current.CancellationToken);
        }

        await _workers.Guard.DisposeAsync();
        AssertGoes(_groups.Folder!, groups: null);
    }

    [Fact]
    public async Task StopAsync_DeadlineIsOver_KillsWhomNoSignalReaches()
    {
        (WorkerProcess worker, string escapee) = await WithEscapeeAsync();

        await worker.StopAsync(TimeSpan.Zero).WaitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(9, (await worker.Exited).Signal);
        WorkerProcessTests.AssertGone(escapee);
    }

    [Fact]
    public async Task Exited_LeaderEndsByItself_KillsWhomNoSignalReaches()
    {
        (WorkerProcess worker, string escapee) = await WithEscapeeAsync();

        worker.SignalGroup(12);

        Assert.Equal(3, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).ExitCode);
        WorkerProcessTests.AssertGone(escapee);
    }

    [Fact]
    public async Task PipeOfTheGuardEnds_KillsWhomNoSignalReachesAndTakesTheGroupsAway()
    {
        (WorkerProcess worker, string escapee) = await WithEscapeeAsync();

        await _workers.Guard.DisposeAsync();

        Assert.Equal(9, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).Signal);
        WorkerProcessTests.AssertGone(escapee);
        AssertGoes(_groups.Folder!, groups: null);
    }

    [Fact]
    public async Task New_AKilledServerLeftItsGroups_KillsWhoIsInThemAndTakesThemAway()
    {
        WorkerProcess worker = await _workers.StartedAsync(WithEscapee);
        string own = Path.GetDirectoryName(_groups.Folder)!;
        ControlGroup left = ControlGroup.Create($"{own}/serve-{int.MaxValue}-0123abcd");
        ControlGroup below = ControlGroup.Create($"{left.Folder}/w1");
        below.Take(worker.Id.ToString(CultureInfo.InvariantCulture));

        using WorkerGroups next = WorkerGroups.OfThisProcess();
        Assert.NotNull(next.Folder);

        Assert.Equal(9, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).Signal);
        AssertGoes(left.Folder, next);
    }

    [Fact]
    public void Take_ProcessThatIsNotThere_IsRefusedByTheSystem() =>
        Assert.ThrowsAny<IOException>(() => _groups.New(WorkerLimits.None, [])!.Take(int.MaxValue.ToString(CultureInfo.InvariantCulture)));

    public async ValueTask DisposeAsync()
    {
        await _workers.DisposeAsync();
        _groups.Dispose();
    }

    private async Task<(WorkerProcess Worker, string Escapee)> WithEscapeeAsync()
    {
        TaskCompletionSource<string> escaped = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource up = new(TaskCreationOptions.RunContinuationsAsynchronously);
        WorkerProcess worker = _workers.Start(
            WithEscapee,
            line =>
            {
                if (!up.TrySetResult())
                {
                    escaped.TrySetResult(line.Text);
                }
            });
        await up.Task.WaitAsync(TestContext.Current.CancellationToken);
        worker.SignalGroup(10);
        return (worker, await escaped.Task.WaitAsync(TestContext.Current.CancellationToken));
    }

    /// <summary>Who was killed takes an instant to be gone, and a group goes after that.</summary>
    private static void AssertGoes(string group, WorkerGroups? groups)
    {
        SpinWait.SpinUntil(
            () =>
            {
                // With each other worker's group it is tried again.
                groups?.Remove(groups.New(WorkerLimits.None, []));
                return !Directory.Exists(group);
            },
            TimeSpan.FromSeconds(10));
        Assert.False(Directory.Exists(group), $"{group} is there still");
    }
}
