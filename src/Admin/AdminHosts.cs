using System.Net;

namespace Serve.Embedded.Admin;

/// <summary>
/// Under which names the admin port may be addressed. A web page can make a browser send requests to a local port under a name of the page's own (DNS
/// rebinding), and the Host header is where that shows.
/// </summary>
/// <param name="configured">The address or name that the port listens on.</param>
/// <param name="allowed">More names, listed by the operator.</param>
internal sealed class AdminHosts(string configured, IReadOnlyList<string> allowed)
{
    /// <param name="host">From the request, without a port.</param>
    /// <param name="local">The address that the client has really connected to: nobody can be led there under another name than this.</param>
    public bool IsOurs(string host, IPAddress? local) =>
        IPAddress.TryParse(host.Trim('[', ']'), out IPAddress? address)
            ? IPAddress.IsLoopback(address) || address.Equals(local) || address.Equals(local?.MapToIPv4()) || Is(host, configured)
            : Is(host, "localhost") || Is(host, configured) || allowed.Any(a => Is(host, a));

    private static bool Is(string host, string name) => host.Equals(name, StringComparison.OrdinalIgnoreCase);
}
