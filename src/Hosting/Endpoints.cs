using System.Net;
using System.Net.Sockets;

namespace Serve.Embedded.Hosting;

/// <summary>What a configured host and port mean as addresses to listen on.</summary>
internal static class Endpoints
{
    /// <summary>All addresses of a host name; the address itself if it is one.</summary>
    /// <exception cref="ServeException">The name has no address.</exception>
    public static async Task<IReadOnlyList<IPEndPoint>> ResolveAsync(string section, string host, int port)
    {
        if (IPAddress.TryParse(host, out IPAddress? address))
        {
            return [new(address, port)];
        }

        try
        {
            IPAddress[] addresses = await Dns.GetHostAddressesAsync(host);

            // Any free port would be another one for each address.
            return [.. addresses.Distinct().Take(port == 0 ? 1 : addresses.Length).Select(a => new IPEndPoint(a, port))];
        }
        catch (SocketException exception)
        {
            throw new ServeException($"{section}.host = \"{host}\" has no address: {exception.Message}. Write an IP address or a name that this machine knows.", exception);
        }
    }

    /// <summary>Why nothing can listen there, and what to do about it: another port does not help where the machine has no such address.</summary>
    public static ServeException CannotListen(string section, string host, int port, Exception exception)
    {
        Exception cause = exception.InnerException ?? exception;
        string todo = SocketErrorOf(exception) switch
        {
            SocketError.AddressAlreadyInUse => $"Stop what listens there, or choose another {section}.port.",
            SocketError.AddressNotAvailable => $"This machine has no such address: choose another {section}.host, such as 127.0.0.1 or 0.0.0.0.",
            SocketError.AccessDenied => $"Choose a {section}.port of 1024 or more, or let the server use lower ones (CAP_NET_BIND_SERVICE).",
            _ => $"Choose another {section}.host or {section}.port.",
        };
        string shown = host.Contains(':', StringComparison.Ordinal) ? $"[{host}]" : host;
        return new($"Cannot listen on {shown}:{port} ({section}): {cause.Message}. {todo}", exception);
    }

    private static SocketError? SocketErrorOf(Exception? exception)
    {
        while (exception is not null and not SocketException)
        {
            exception = exception.InnerException;
        }

        return (exception as SocketException)?.SocketErrorCode;
    }
}
