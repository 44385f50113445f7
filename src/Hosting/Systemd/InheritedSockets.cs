using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting.Systemd;

/// <summary>
/// Listening sockets that systemd opened and handed over (socket activation): connections that come while the server restarts wait in them and are not refused. Those that are named <c>http</c> are the
/// data port's, those named <c>admin</c> the admin port's; where none has such a name, the first is the data port and the second the admin port.
/// </summary>
/// <remarks>A socket belongs to whoever took it with <see cref="Open"/>; what nobody has taken is closed with this.</remarks>
internal sealed partial class InheritedSockets : IDisposable
{
    private const string Http = "http";
    private const string Admin = "admin";

    /// <summary>Where systemd begins, after stdin, stdout and stderr.</summary>
    private const int FirstDescriptor = 3;

    // The same numbers on x64 and arm64.
    private const int SetDescriptorFlags = 2;
    private const int CloseOnExec = 1;

    private readonly List<(IPEndPoint Address, Socket Socket)> _sockets = [];

    private InheritedSockets()
    {
    }

    /// <summary>Addresses of the data port; empty = none was handed over, listen as configured.</summary>
    public IReadOnlyList<IPEndPoint> HttpAddresses { get; private set; } = [];

    public IReadOnlyList<IPEndPoint> AdminAddresses { get; private set; } = [];

    /// <summary>Takes over what systemd opened, and takes its variables out of the environment, so that no child process thinks them meant for it.</summary>
    /// <param name="get">Reads an environment variable.</param>
    /// <param name="unset">Removes one.</param>
    /// <param name="processId">They may be meant for another process.</param>
    /// <param name="logger">Told which socket is used for what, and which is not.</param>
    /// <param name="firstDescriptor">For tests, in which 3 is somebody else's.</param>
    public static InheritedSockets FromEnvironment(Func<string, string?> get, Action<string> unset, int processId, ILogger logger, int firstDescriptor = FirstDescriptor)
    {
        InheritedSockets inherited = new();
        string? pid = get("LISTEN_PID");
        string? count = get("LISTEN_FDS");
        string[] names = get("LISTEN_FDNAMES")?.Split(':') ?? [];
        unset("LISTEN_PID");
        unset("LISTEN_FDS");
        unset("LISTEN_FDNAMES");
        if (OperatingSystem.IsLinux()
            && pid == processId.ToString(CultureInfo.InvariantCulture)
            && int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out int descriptors)
            && descriptors is > 0 and < 1024)
        {
            inherited.Take(firstDescriptor, descriptors, names, logger);
        }

        return inherited;
    }

    /// <summary>The socket that was handed over for this address, which is now the caller's; else a new one that is bound to it. Kestrel's transport calls it for each address.</summary>
    public Socket Open(EndPoint address)
    {
        int index = _sockets.FindIndex(s => s.Address.Equals(address));
        if (index < 0)
        {
            return SocketTransportOptions.CreateDefaultBoundListenSocket(address);
        }

        Socket socket = _sockets[index].Socket;
        _sockets.RemoveAt(index);
        return socket;
    }

    public void Dispose()
    {
        foreach ((_, Socket socket) in _sockets)
        {
            socket.Dispose();
        }

        _sockets.Clear();
    }

    private void Take(int first, int count, string[] names, ILogger logger)
    {
        // A .socket unit without FileDescriptorName= calls each by the unit's name.
        bool named = names.Take(count).Any(name => name is Http or Admin);
        List<IPEndPoint> http = [];
        List<IPEndPoint> admin = [];
        for (int i = 0; i < count; i++)
        {
            string name = i < names.Length ? names[i] : "";
            string? port = named ? (name is Http or Admin ? name : null) : i switch { 0 => Http, 1 => Admin, _ => null };
            Socket? socket = Adopt(first + i, out string wrong);
            if (socket is null || port is null)
            {
                socket?.Dispose();
                Log.SocketIgnored(logger, first + i, name, socket is null ? wrong : named ? "others are named, and this is neither http nor admin" : "without names only two are expected");
                continue;
            }

            IPEndPoint address = (IPEndPoint)socket.LocalEndPoint!;
            _sockets.Add((address, socket));
            (port == Http ? http : admin).Add(address);
            Log.SocketInherited(logger, address.ToString(), port);
        }

        HttpAddresses = http;
        AdminAddresses = admin;
    }

    /// <summary>The descriptor as a socket, if it is one that TCP clients can connect to; else it is closed.</summary>
    private static Socket? Adopt(int descriptor, out string wrong)
    {
        SafeSocketHandle handle = new(descriptor, ownsHandle: true);
        wrong = "";
        try
        {
            // Workers are started later and must not hold the port open.
            if (SetDescriptor(handle, SetDescriptorFlags, CloseOnExec) != 0)
            {
                wrong = Marshal.GetLastPInvokeErrorMessage();
            }
            else
            {
                Socket socket = new(handle);
                if (socket.SocketType == SocketType.Stream && socket.LocalEndPoint is IPEndPoint && IsListening(socket))
                {
                    // Whoever had it before may have closed it while it waited for a connection; then it resets what it accepts (see ClientListener).
                    socket.LingerState = new(false, 0);
                    return socket;
                }

                wrong = "it is not a TCP socket that listens (ListenStream= with a port, Accept=no)";
            }
        }
        catch (SocketException exception)
        {
            wrong = exception.Message;
        }

        handle.Dispose();
        return null;
    }

    private static bool IsListening(Socket socket) => (int)socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.AcceptConnection)! != 0;

    // fcntl takes its third argument as variable ones are taken, which on Linux is no different for an integer.
    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int SetDescriptor(SafeSocketHandle handle, int command, int flags);
}
