using Serve.Embedded.Replicas.Workers;
using Xunit;

namespace Serve.Embedded.Tests.Replicas.Workers;

public sealed class WorkerLimitsTests
{
    /// <summary>As the hardened unit of systemd has it, SystemCallErrorNumber=EPERM: it is not the number of a processor that is wrong then.</summary>
    [Fact]
    public void RemedyOf_SystemCallFilter_IsTheFilter()
    {
        const int NotPermitted = 1;
        const int NoAccess = 13;
        const int Invalid = 22;

        Assert.Contains("SystemCallFilter=", WorkerLimits.RemedyOf(NotPermitted, "usual"), StringComparison.Ordinal);
        Assert.Equal("usual", WorkerLimits.RemedyOf(NoAccess, "usual"));
        Assert.Equal("usual", WorkerLimits.RemedyOf(Invalid, "usual"));
    }
}
