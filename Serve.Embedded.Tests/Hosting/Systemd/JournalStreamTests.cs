using Serve.Embedded.Hosting.Systemd;
using Xunit;

namespace Serve.Embedded.Tests.Hosting.Systemd;

public sealed class JournalStreamTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("serve-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("8:4711", "socket:[4711]", true)]
    [InlineData("8:471", "socket:[4711]", false)]
    [InlineData("8:4711", "pipe:[4711]", false)]
    [InlineData("8:4711", "/dev/pts/0", false)]
    [InlineData("4711", "socket:[4711]", false)]
    [InlineData("8:", "socket:[]", false)]
    [InlineData(null, "socket:[4711]", false)]
    public void IsStandardError_VariableAndDescriptor_MustBeTheSameSocket(string? variable, string target, bool expected)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The journal is Linux's.");
        string descriptor = Path.Combine(_folder, "2");
        File.CreateSymbolicLink(descriptor, target);

        Assert.Equal(expected, JournalStream.IsStandardError(name => name == "JOURNAL_STREAM" ? variable : null, descriptor));
    }

    [Fact]
    public void IsStandardError_NoSuchDescriptor_IsFalse() =>
        Assert.False(JournalStream.IsStandardError(_ => "8:4711", Path.Combine(_folder, "none")));
}
