using System.Text;
using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

public sealed class ConfigFileTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("serve-config-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void ReadFile_Directory_IsAnError() => Assert.Equal($"{_directory}: this is a directory, not a file", Read(_directory));

    [Fact]
    public void ReadFile_Missing_IsAnError()
    {
        string path = Path.Combine(_directory, "none", "config.toml");

        Assert.Equal($"{path}: there is no such file", Read(path));
    }

    [Fact]
    public void ReadFile_EmptyPath_IsAnError() => Assert.StartsWith(": cannot be read: ", Read(""), StringComparison.Ordinal);

    [Fact]
    public void ReadFile_NotPermitted_IsAnError()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows() || Environment.IsPrivilegedProcess, "No file modes, or they do not hold for this user.");
        string path = Write("applications = []"u8);
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, UnixFileMode.None);
        }

        Assert.Equal($"{path}: the user {Environment.UserName} may not read this file", Read(path));
    }

    [Fact]
    public void ReadFile_NotUtf8_NamesThePlace()
    {
        string path = Write([.. "# é\na = '"u8, 0xE9, .. "'"u8]);

        Assert.Equal($"{path}:2:6: not UTF-8: the byte 0xE9 at offset 10", Read(path));
    }

    [Fact]
    public void ReadFile_Utf16_SaysSo()
    {
        string path = Write([.. Encoding.Unicode.GetPreamble(), .. Encoding.Unicode.GetBytes("a = 1")]);

        Assert.Equal($"{path}:1:1: not UTF-8: the byte 0xFF at offset 0; it looks like UTF-16: save it as UTF-8", Read(path));
    }

    [Fact]
    public void ReadFile_ByteOrderMark_IsSkipped() => Assert.Equal("", Read(Write([0xEF, 0xBB, 0xBF, .. "applications = []"u8])));

    [Fact]
    public void ReadFile_FiftyMegabytes_IsRefusedWithoutReading()
    {
        string path = Path.Combine(_directory, "big.toml");
        using (FileStream file = File.Create(path))
        {
            file.SetLength(50 * 1024 * 1024);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        string line = Read(path);

        Assert.Equal($"{path}: larger than 16 MiB, which no configuration is; is it the right one?", line);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1024 * 1024);
    }

    [Fact]
    public void ReadFile_EndlessDevice_IsRefusedAtTheLimit()
    {
        Assert.SkipUnless(File.Exists("/dev/zero"), "No such device here.");

        Assert.Equal("/dev/zero: larger than 16 MiB, which no configuration is; is it the right one?", Read("/dev/zero"));
    }

    [Fact]
    public void ReadFile_LengthNotTold_IsReadToTheEnd()
    {
        Assert.SkipUnless(File.Exists("/proc/self/status"), "No such file here.");

        Assert.StartsWith("/proc/self/status:1:", Read("/proc/self/status"), StringComparison.Ordinal);
    }

    private static string Read(string path) => TestCatalog.Lines(ConfigReader.ReadFile(path, TestCatalog.Builtin));

    private string Write(ReadOnlySpan<byte> bytes)
    {
        string path = Path.Combine(_directory, "config.toml");
        File.WriteAllBytes(path, bytes);
        return path;
    }
}
