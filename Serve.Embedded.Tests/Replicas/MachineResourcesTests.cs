using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Replicas;

public sealed class MachineResourcesTests
{
    private const string MemInfo = "MemTotal:        8052144 kB\nMemFree:          123456 kB\n";

    private readonly Dictionary<string, string> _files = new() { ["/proc/meminfo"] = MemInfo };

    [Fact]
    public void Read_NoCgroup_IsTheMachine() => Assert.Equal(new MachineResources(4, 7863), Read(4));

    [Fact]
    public void Read_NothingAtAll_IsProcessorsAndNoMemoryKnown()
    {
        _files.Clear();

        Assert.Equal(new MachineResources(4, null), Read(4));
    }

    [Fact]
    public void Read_VersionTwo_TakesTheLimits()
    {
        _files["/proc/self/cgroup"] = "0::/system.slice/serve.service\n";
        _files["/sys/fs/cgroup/system.slice/serve.service/cpu.max"] = "150000 100000\n";
        _files["/sys/fs/cgroup/system.slice/serve.service/memory.max"] = "536870912\n";

        Assert.Equal(new MachineResources(1.5, 512), Read(4));
    }

    [Fact]
    public void Read_VersionTwoWithoutLimits_IsTheMachine()
    {
        _files["/proc/self/cgroup"] = "0::/a\n";
        _files["/sys/fs/cgroup/a/cpu.max"] = "max 100000\n";
        _files["/sys/fs/cgroup/a/memory.max"] = "max\n";

        Assert.Equal(new MachineResources(4, 7863), Read(4));
    }

    /// <summary>The smallest limit on the way to the top is the one that holds.</summary>
    [Fact]
    public void Read_LimitsOfGroupsAbove_HoldToo()
    {
        _files["/proc/self/cgroup"] = "0::/a.slice/b.service\n";
        _files["/sys/fs/cgroup/a.slice/b.service/cpu.max"] = "300000 100000\n";
        _files["/sys/fs/cgroup/a.slice/b.service/memory.max"] = "max\n";
        _files["/sys/fs/cgroup/a.slice/cpu.max"] = "200000 100000\n";
        _files["/sys/fs/cgroup/a.slice/memory.max"] = "1073741824\n";

        Assert.Equal(new MachineResources(2, 1024), Read(4));
    }

    /// <summary>In a container the group may be named as the host sees it, and only the top is there.</summary>
    [Theory]
    [InlineData("0::/\n")]
    [InlineData("0::/docker/0123456789ab\n")]
    [InlineData("0::/../../a\n")]
    public void Read_Container_TakesTheLimitsOfTheTop(string group)
    {
        _files["/proc/self/cgroup"] = group;
        _files["/sys/fs/cgroup/cpu.max"] = "50000 100000\n";
        _files["/sys/fs/cgroup/memory.max"] = "268435456\n";

        Assert.Equal(new MachineResources(0.5, 256), Read(4));
    }

    [Fact]
    public void Read_VersionOne_TakesTheLimits()
    {
        _files["/proc/self/cgroup"] = "12:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n";
        _files["/sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us"] = "250000\n";
        _files["/sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us"] = "100000\n";
        _files["/sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes"] = "1073741824\n";

        Assert.Equal(new MachineResources(2.5, 1024), Read(4));
    }

    [Fact]
    public void Read_VersionOneWithoutLimits_IsTheMachine()
    {
        _files["/proc/self/cgroup"] = "12:memory:/\n4:cpu,cpuacct:/\n";
        _files["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "-1\n";
        _files["/sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "100000\n";
        _files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n";

        Assert.Equal(new MachineResources(4, 7863), Read(4));
    }

    [Fact]
    public void Read_LimitsAboveTheMachine_AreTheMachine()
    {
        _files["/proc/self/cgroup"] = "0::/\n";
        _files["/sys/fs/cgroup/cpu.max"] = "6400000 100000\n";
        _files["/sys/fs/cgroup/memory.max"] = "68719476736\n";

        Assert.Equal(new MachineResources(4, 7863), Read(4));
    }

    [Theory]
    [InlineData("")]
    [InlineData("rubbish")]
    [InlineData("1 0")]
    [InlineData("0 100000")]
    [InlineData("1 2 3")]
    public void Read_FilesThatMakeNoSense_AreNoLimit(string text)
    {
        _files["/proc/self/cgroup"] = "0::/\nrubbish\n";
        _files["/sys/fs/cgroup/cpu.max"] = text;
        _files["/sys/fs/cgroup/memory.max"] = text;

        Assert.Equal(4, Read(4).Cpus);
    }

    [Fact]
    public void Read_ThisMachine_HasSomething()
    {
        MachineResources machine = MachineResources.Read();

        Assert.InRange(machine.Cpus, 0.01, Environment.ProcessorCount);
        Assert.True(machine.MemoryMb is null or > 0);
    }

    private MachineResources Read(int processors) => MachineResources.Read(path => _files.GetValueOrDefault(path), processors);
}
