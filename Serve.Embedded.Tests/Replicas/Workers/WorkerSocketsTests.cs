using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Replicas.Workers;

public sealed class WorkerSocketsTests : IDisposable
{
    private readonly string _parent = Directory.CreateTempSubdirectory("st-").FullName;

    public void Dispose() => Directory.Delete(_parent, recursive: true);

    [Fact]
    public void Folder_AKilledServerLeftIts_IsRemovedAndThatOfALivingOneIsNot()
    {
        string dead = Directory.CreateDirectory(Path.Combine(_parent, $"serve-{int.MaxValue}-0123abcd")).FullName;
        string alive = Directory.CreateDirectory(Path.Combine(_parent, $"serve-{Environment.ProcessId}-0123abcd")).FullName;
        string other = Directory.CreateDirectory(Path.Combine(_parent, "serve-notes-0123abcd")).FullName;
        File.WriteAllText(Path.Combine(dead, "w1"), "");

        using WorkerSockets sockets = new(Variable);

        Assert.StartsWith(_parent, sockets.Folder, StringComparison.Ordinal);
        Assert.Equal((false, true, true), (Directory.Exists(dead), Directory.Exists(alive), Directory.Exists(other)));

        string? Variable(string name) => name == "RUNTIME_DIRECTORY" ? _parent : null;
    }

    [Fact]
    public void Dispose_Always_LeavesNothing()
    {
        WorkerSockets sockets = new(name => name == "XDG_RUNTIME_DIR" ? _parent : null);
        File.WriteAllText(sockets.Next(), "");

        sockets.Dispose();

        Assert.Empty(Directory.GetFileSystemEntries(_parent));
    }

    [Fact]
    public void Next_PathTooLong_SaysSo()
    {
        string deep = Path.Combine(_parent, new string('d', 100));
        using WorkerSockets sockets = new(name => name == "RUNTIME_DIRECTORY" ? deep : null);

        Assert.Contains("longer than 107 bytes", Assert.Throws<WorkerStartException>(sockets.Next).Message, StringComparison.Ordinal);
    }
}
