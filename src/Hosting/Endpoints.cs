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
}
