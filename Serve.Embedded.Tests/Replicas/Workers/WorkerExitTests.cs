using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Replicas.Workers;

public sealed class WorkerExitTests
{
    [Theory]
    [InlineData(0, "exit code 0")]
    [InlineData(3 << 8, "exit code 3")]
    [InlineData(255 << 8, "exit code 255")]
    [InlineData(9, "signal 9 (SIGKILL)")]
    [InlineData(11 | 0x80, "signal 11 (SIGSEGV)")]
    [InlineData(40, "signal 40 (a real-time signal)")]
    [InlineData(null, "an unknown exit status, since another part of this process took it")]
    public void ToString_Status_SaysHowItEnded(int? status, string text) => Assert.Equal(text, WorkerExit.Of(status).ToString());

    [Theory]
    [InlineData(9, false, nameof(OutOfMemory.Yes), ", out of memory: the kernel killed it")]
    [InlineData(9, false, nameof(OutOfMemory.Probably), ", probably out of memory: the kernel killed some process for that at the time")]
    [InlineData(9, false, nameof(OutOfMemory.No), "")]
    [InlineData(9, true, nameof(OutOfMemory.Probably), "")]
    public void Of_Sigkill_IsTheKernelsUnlessTheServerSentIt(int status, bool stopped, string outOfMemory, string verdict) =>
        Assert.Equal($"signal 9 (SIGKILL){verdict}", WorkerExit.Of(status, stopped, Enum.Parse<OutOfMemory>(outOfMemory)).ToString());

    [Theory]
    [InlineData(15)]
    [InlineData(0)]
    [InlineData(137 << 8)]
    [InlineData(null)]
    public void Of_AnyOtherEnd_IsNotForWantOfMemory(int? status) => Assert.Equal(OutOfMemory.No, WorkerExit.Of(status, stopped: false, OutOfMemory.Yes).OutOfMemory);

    [Theory]
    [InlineData("nr_free_pages 1\noom_kill 12\nnuma_hit 3\n", 12L)]
    [InlineData("oom 0\noom_kill 12", 12L)]
    [InlineData("nr_free_pages 1\nxoom_kill 12\noom_kill_x 3\n", null)]
    [InlineData("", null)]
    public void Parse_Counters_FindsTheCount(string counters, long? count) => Assert.Equal(count, OutOfMemoryKills.Parse(counters));

    [Fact]
    public void Count_NoSuchFile_IsUnknown() => Assert.Null(OutOfMemoryKills.Count("/no/such/file"));
}
