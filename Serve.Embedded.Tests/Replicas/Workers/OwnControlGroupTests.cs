using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Replicas.Workers;

public sealed class OwnControlGroupTests
{
    private const string Hybrid =
        """
        30 22 0:27 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
        34 30 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
        40 30 0:36 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
        """;

    private const string Unified = "26 20 0:23 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate";
    private const string Container = "26 20 0:23 /docker/abc /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw";
    private const string WithSpace = "26 20 0:23 / /mnt/my\\040groups rw - cgroup2 cgroup2 rw";

    [Theory]
    [InlineData("4:memory:/x\n0::/\n", Hybrid, "/sys/fs/cgroup/unified")]
    [InlineData("4:memory:/x\n0::/a/b\n", Hybrid, "/sys/fs/cgroup/unified/a/b")]
    [InlineData("0::/system.slice/serve.service\n", Unified, "/sys/fs/cgroup/system.slice/serve.service")]
    [InlineData("0::/docker/abc/sub\n", Container, "/sys/fs/cgroup/sub")]
    [InlineData("0::/docker/abc\n", Container, "/sys/fs/cgroup")]
    [InlineData("0::/a\n", WithSpace, "/mnt/my groups/a")]
    public void FolderOf_GroupThatIsShown_IsItsFolder(string cgroup, string mountinfo, string folder) => Assert.Equal(folder, OwnControlGroup.FolderOf(cgroup, mountinfo));

    [Theory]
    [InlineData("0::/docker/abcd\n", Container)]
    [InlineData("0::/../other\n", Container)]
    [InlineData("4:memory:/x\n", Hybrid)]
    [InlineData("0::/\n", "34 30 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n")]
    [InlineData("", "")]
    public void FolderOf_GroupThatIsNotShown_IsNone(string cgroup, string mountinfo) => Assert.Null(OwnControlGroup.FolderOf(cgroup, mountinfo));
}
