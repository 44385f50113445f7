using System.Net;
using System.Net.Sockets;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>A worker that says exactly what a test has written, byte for byte, on a Unix socket.</summary>
internal sealed class ScriptedWorker : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly Func<WorkerSide, Task> _script;
    private readonly List<Task> _connections = [];
    private readonly List<WorkerSide> _sides = [];
    private readonly Task _accepting;

    /// <param name="script">Runs for each connection; the connection is closed when it returns.</param>
    public ScriptedWorker(Func<WorkerSide, Task> script)
    {
        _script = script;
        EndPoint = new UnixDomainSocketEndPoint(Path);
        _listener.Bind(EndPoint);
        _listener.Listen();
        _accepting = AcceptAsync();
    }

    /// <summary>Its socket's.</summary>
    public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"serve-road-{System.IO.Path.GetRandomFileName()}");

    public EndPoint EndPoint { get; }

    /// <summary>Connections that were made so far.</summary>
    public int ConnectionCount => _sides.Count;

    public async ValueTask DisposeAsync()
    {
        _listener.Dispose();
        await _accepting;
        foreach (WorkerSide side in _sides)
        {
            side.Dispose();
        }

        await Task.WhenAll(_connections);
        File.Delete(Path);
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                WorkerSide side = new(await _listener.AcceptAsync(), _sides.Count);
                _sides.Add(side);
                _connections.Add(RunAsync(side));
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task RunAsync(WorkerSide side)
    {
        using (side)
        {
            try
            {
                await _script(side);
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException or WorkerSideClosedException)
            {
                // The road has closed the connection: whether it may is for the test to see.
            }
        }
    }
}
