using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>Workers that are the test, one for each process that the server starts: the first process gets the first, and all that come when none is left get the last.</summary>
internal sealed class WorkersInTest : IAsyncDisposable
{
    private const string TakeOne = "for w in \"$@\"; do mkdir \"$w.taken\" 2>/dev/null && break; done; ln -s \"$w\" \"$0\" && exec sleep 3600";

    private readonly ScriptedWorker[] _workers;

    /// <param name="count">How many.</param>
    /// <param name="script">Runs for each connection to one of them.</param>
    public WorkersInTest(int count, Func<int, WorkerSide, Task> script) =>
        _workers = [.. Enumerable.Range(0, count).Select(i => new ScriptedWorker(side => script(i, side)))];

    public string[] Command => ["sh", "-c", TakeOne, "{socket}", .. _workers.Select(w => w.Path)];

    /// <summary>Its process lives, and nobody can reach it.</summary>
    public void HideOne(int index) => File.Delete(_workers[index].Path);

    public async ValueTask DisposeAsync()
    {
        foreach (ScriptedWorker worker in _workers)
        {
            await worker.DisposeAsync();
            if (Directory.Exists(TakenMark(worker)))
            {
                Directory.Delete(TakenMark(worker));
            }
        }
    }

    private static string TakenMark(ScriptedWorker worker) => $"{worker.Path}.taken";
}
