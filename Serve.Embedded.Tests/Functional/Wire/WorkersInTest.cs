using System.Net;
using System.Net.Sockets;
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

    /// <summary>Its process lives, and nobody is there to take connections.</summary>
    public void Hide(int index) => File.Delete(_workers[index].Path);

    /// <summary>Its process lives, and leaves its queue of new connections full.</summary>
    /// <returns>What it takes for that.</returns>
    public IDisposable Clog(int index)
    {
        Hide(index);
        return new Backlog(_workers[index].EndPoint);
    }

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

    /// <summary>A full one.</summary>
    private sealed class Backlog : IDisposable
    {
        private readonly List<Socket> _sockets = [];

        public Backlog(EndPoint endPoint)
        {
            Socket listener = New();
            listener.Bind(endPoint);
            listener.Listen(0);
            while (TryConnect(endPoint))
            {
            }
        }

        public void Dispose() => _sockets.ForEach(s => s.Dispose());

        private bool TryConnect(EndPoint endPoint)
        {
            Socket client = New();
            client.Blocking = false;
            try
            {
                client.Connect(endPoint);
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        }

        private Socket New()
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            _sockets.Add(socket);
            return socket;
        }
    }
}
