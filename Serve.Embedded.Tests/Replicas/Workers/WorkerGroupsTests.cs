using System.Globalization;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Replicas.Workers;

/// <summary>What is asked of the system, seen in folders that play its control groups. What the system does then is tested with <see cref="RealWorkerGroupsTests"/>.</summary>
public sealed class WorkerGroupsTests : IDisposable
{
    private static readonly string Self = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);

    private readonly string _own = Directory.CreateTempSubdirectory("serve-tests-").FullName;
    private readonly List<string> _refused = [];

    public WorkerGroupsTests() => Has("cgroup.controllers", "cpuset cpu io memory pids");

    [Fact]
    public void New_NoLimits_IsAGroupOfItsOwnAndTheServerStaysWhereItIs()
    {
        using WorkerGroups groups = new(_own);

        ControlGroup first = groups.New(WorkerLimits.None, _refused)!;
        ControlGroup second = groups.New(WorkerLimits.None, _refused)!;

        Assert.Equal([$"{groups.Folder}/w1", $"{groups.Folder}/w2"], [first.Folder, second.Folder]);
        Assert.StartsWith($"{_own}/serve-{Self}-", groups.Folder, StringComparison.Ordinal);
        Assert.False(File.Exists($"{_own}/cgroup.subtree_control"));
        Assert.Empty(_refused);
    }

    [Fact]
    public void New_Limits_AreWrittenAndTheirControllersHandedOnFirst()
    {
        using WorkerGroups groups = new(_own);

        ControlGroup group = groups.New(new() { MemoryMaxMb = 512, CpuMax = 1.5 }, _refused)!;

        Assert.Empty(_refused);
        Assert.Equal(["536870912"], group.Read("memory.max"));
        Assert.Equal(["1"], group.Read("memory.oom.group"));
        Assert.Equal(["150000", "100000"], group.Read("cpu.max"));
        Assert.StartsWith("+", Assert.Single(new ControlGroup(_own).Read("cgroup.subtree_control")), StringComparison.Ordinal);
        Assert.StartsWith("+", Assert.Single(new ControlGroup(groups.Folder!).Read("cgroup.subtree_control")), StringComparison.Ordinal);
    }

    [Fact]
    public void New_OneControllerIsMissing_ItsKeyIsNamedAndTheOtherIsInForce()
    {
        Has("cgroup.controllers", "cpu pids");
        using WorkerGroups groups = new(_own);

        ControlGroup group = groups.New(new() { MemoryMaxMb = 512, CpuMax = 0.5 }, _refused)!;

        Assert.Equal([$"memory_max_mb = 512 has no effect: the server's control group {_own} does not have the controller 'memory'. Under systemd set Delegate=yes in its unit; where version 1 of control groups holds the controller, boot with version 2 alone."], _refused);
        Assert.Equal(["50000", "100000"], group.Read("cpu.max"));
    }

    /// <summary>A device that is full refuses to be written, as the system does while processes are in the group.</summary>
    [Fact]
    public void New_ServerIsInTheGroup_GoesIntoALeafAndNamesThoseWhoStay()
    {
        File.CreateSymbolicLink($"{_own}/cgroup.subtree_control", "/dev/full");
        Has("cgroup.procs", $"1\n{Self}\n");
        using WorkerGroups groups = new(_own);

        groups.New(new() { CpuMax = 2 }, _refused);

        Assert.Equal([Self], new ControlGroup($"{groups.Folder}-server").Processes);
        Assert.StartsWith($"cpu_max = 2 has no effect: other processes than the server's are in its control group {_own}: 1 (", Assert.Single(_refused), StringComparison.Ordinal);
    }

    [Fact]
    public void New_NoControlGroups_EachKeySaysWhy()
    {
        using WorkerGroups groups = new(own: null, "there are none");

        Assert.Null(groups.New(new() { MemoryMaxMb = 5, CpuMax = 2 }, _refused));

        Assert.Equal(["memory_max_mb = 5 has no effect: there are none.", "cpu_max = 2 has no effect: there are none."], _refused);
        Assert.Null(groups.Folder);
    }

    [Fact]
    public void New_GroupsMayNotBeMade_SaysWhereAndWhatToDoAndOnlyIfALimitIsWanted()
    {
        using WorkerGroups groups = new($"{_own}/cgroup.controllers");

        Assert.Null(groups.New(WorkerLimits.None, _refused));
        Assert.Empty(_refused);
        Assert.Null(groups.New(new() { CpuMax = 2 }, _refused));

        string why = Assert.Single(_refused);
        Assert.StartsWith($"cpu_max = 2 has no effect: the server may make no control groups in {_own}/cgroup.controllers (", why, StringComparison.Ordinal);
        Assert.EndsWith("Under systemd set Delegate=yes and ProtectControlGroups=no in its unit.", why, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, "signal 9 (SIGKILL), out of memory: the kernel killed it")]
    [InlineData(0, "signal 9 (SIGKILL)")]
    public async Task Exited_GroupCountsKills_SaysOutOfMemoryWithoutAProbably(int kills, string end)
    {
        using WorkerGroups groups = new(_own);
        await using TestWorkers workers = new(groups);
        string events = $"{groups.Folder}/w1/memory.events";
        Directory.CreateDirectory(Path.GetDirectoryName(events)!);
        await File.WriteAllTextAsync(events, "low 0\noom 0\noom_kill 0\n", TestContext.Current.CancellationToken);

        // A worker that was well is not the one that was killed before.
        WorkerProcess worker = await workers.StartedAsync($"trap 'echo oom_kill {kills} > {events}; kill -9 $$' USR1; echo up; sleep 1000 & wait");
        worker.IsWell();
        worker.SignalGroup(10);

        Assert.Equal(end, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).ToString());
    }

    /// <summary>Its socket accepts connections until its memory has been taken from it.</summary>
    [Theory]
    [InlineData(1, "signal 9 (SIGKILL), out of memory: the kernel killed it")]
    [InlineData(2, "signal 9 (SIGKILL)")]
    public async Task Exited_SeenWellAfterTheKill_IsOutOfMemoryUnlessItWasSeenSoAgain(int seenWell, string end)
    {
        using WorkerGroups groups = new(_own);
        await using TestWorkers workers = new(groups);
        string events = $"{groups.Folder}/w1/memory.events";
        Directory.CreateDirectory(Path.GetDirectoryName(events)!);
        await File.WriteAllTextAsync(events, "oom_kill 0\n", TestContext.Current.CancellationToken);
        WorkerProcess worker = await workers.StartedAsync("trap 'kill -9 $$' USR1; echo up; sleep 1000 & wait");

        await File.WriteAllTextAsync(events, "oom_kill 1\n", TestContext.Current.CancellationToken);
        for (int seen = 0; seen < seenWell; seen++)
        {
            worker.IsWell();
        }

        worker.SignalGroup(10);

        Assert.Equal(end, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).ToString());
    }

    public void Dispose() => Directory.Delete(_own, recursive: true);

    private void Has(string file, string text) => File.WriteAllText(Path.Combine(_own, file), text);
}
