using System.Globalization;
using Serve.Embedded.Hosting;

namespace Serve.Embedded.Tests.Hosting;

public sealed class SignalDispositionsTests
{
    private const int FileSizeExceeded = 25;

    /// <summary>The kernel ends a process that writes beyond its limit of file size, before the write can fail.</summary>
    [Fact]
    public void Set_FileSizeExceeded_IsIgnored()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux tells which signals a process ignores.");

        SignalDispositions.Set();

        string ignored = File.ReadLines("/proc/self/status").Single(l => l.StartsWith("SigIgn:", StringComparison.Ordinal))["SigIgn:".Length..].Trim();
        Assert.NotEqual(0UL, ulong.Parse(ignored, NumberStyles.HexNumber, CultureInfo.InvariantCulture) & (1UL << (FileSizeExceeded - 1)));
    }
}
