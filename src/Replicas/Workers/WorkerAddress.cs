using System.Net;
using System.Net.Sockets;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Where a worker listens: a Unix socket, a port of the loopback, or whichever of the two it takes.</summary>
internal sealed class WorkerAddress : IDisposable
{
    public const string SocketMark = "{socket}";
    public const string PortMark = "{port}";

    private readonly WorkerHost _host;

    private WorkerAddress(string? socket, int? port, WorkerHost host)
    {
        Socket = socket;
        Port = port;
        _host = host;
    }

    /// <summary>A path; <see langword="null"/> = it listens on a port.</summary>
    public string? Socket { get; }

    public int? Port { get; }

    /// <summary>What the command and its environment ask for; where they ask for nothing, both are offered.</summary>
    /// <exception cref="WorkerStartException">There is no place for a socket, or no port.</exception>
    public static WorkerAddress For(WorkerSettings settings, WorkerHost host)
    {
        List<string> texts = [.. settings.Command, .. settings.Variables.Select(v => v.Value)];
        bool usesPort = texts.Any(t => t.Contains(PortMark, StringComparison.Ordinal));
        bool usesSocket = settings.IsPython || texts.Any(t => t.Contains(SocketMark, StringComparison.Ordinal));
        return new(usesSocket || !usesPort ? host.Sockets.Next() : null, usesPort || !usesSocket ? host.Ports.Next() : null, host);
    }

    /// <summary>Connects for the first time, to whichever the worker listens on.</summary>
    /// <exception cref="WorkerFailedException">It listens nowhere yet.</exception>
    public async Task<WorkerConnections> ConnectAsync(string? token, Action onAnswered, Action onRefused, CancellationToken cancellationToken)
    {
        WorkerFailedException? failure = null;
        foreach (EndPoint endPoint in EndPoints())
        {
            WorkerConnections connections = new(endPoint, _host.Time, _host.Loops, token, onRefused) { OnAnswered = onAnswered };
            try
            {
                await connections.ConnectAsync(cancellationToken);
                return connections;
            }
            catch (WorkerFailedException exception)
            {
                connections.Dispose();
                failure = failure is null ? exception : new($"{failure.Message} {exception.Message}");
            }
        }

        throw failure!;
    }

    /// <summary>Takes the socket's file away, which the worker may have left behind, and gives the port back.</summary>
    public void Dispose()
    {
        if (Socket is { } path)
        {
            _host.Sockets.Remove(path);
        }

        if (Port is { } port)
        {
            _host.Ports.GiveBack(port);
        }
    }

    public override string ToString() => (Socket, Port) switch
    {
        ({ } socket, { } port) => $"the Unix socket {socket} (SERVE_SOCKET) or 127.0.0.1:{port} (PORT): its command has neither {SocketMark} nor {PortMark}, so it must look there itself",
        ({ } socket, null) => $"the Unix socket {socket}",
        _ => $"127.0.0.1:{Port}",
    };

    private IEnumerable<EndPoint> EndPoints()
    {
        if (Socket is { } socket)
        {
            yield return new UnixDomainSocketEndPoint(socket);
        }

        if (Port is { } port)
        {
            yield return new IPEndPoint(IPAddress.Loopback, port);
        }
    }
}
