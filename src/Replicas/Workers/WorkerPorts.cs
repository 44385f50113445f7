using System.Net;
using System.Net.Sockets;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Ports of the loopback for workers. The system tells which are free; that no two workers have the same one is kept here, because the system gives it again until the first of them listens:
/// the other would be taken for ready, and the first would get its requests.
/// </summary>
internal sealed class WorkerPorts
{
    private const int MostTries = 1_000;

    private readonly Lock _gate = new();
    private readonly HashSet<int> _given = [];

    /// <summary>A port that no other worker has, until it is given back.</summary>
    /// <exception cref="WorkerStartException">There is none.</exception>
    public int Next()
    {
        // Those that are given to others stay bound until there is one that is not, so that the system does not name them again.
        List<Socket> probes = [];
        try
        {
            while (probes.Count < MostTries)
            {
                Socket probe = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                probes.Add(probe);
                probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
                int port = ((IPEndPoint)probe.LocalEndPoint!).Port;
                lock (_gate)
                {
                    if (_given.Add(port))
                    {
                        return port;
                    }
                }
            }

            throw new WorkerStartException($"The worker can be given no port: other workers have the {MostTries} that the system names. Widen net.ipv4.ip_local_port_range, or let workers listen on {WorkerAddress.SocketMark}.");
        }
        catch (SocketException exception)
        {
            throw new WorkerStartException($"The worker can be given no port: {Shortage.Of(exception) ?? exception.Message}");
        }
        finally
        {
            probes.ForEach(static p => p.Dispose());
        }
    }

    public void GiveBack(int port)
    {
        lock (_gate)
        {
            _given.Remove(port);
        }
    }
}
