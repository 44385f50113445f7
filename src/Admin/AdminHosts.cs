using System.Net;

namespace Serve.Embedded.Admin;

/// <summary>
/// Under which names the admin port may be addressed. A web page can make a browser send requests to a local port under a name of the page's own (DNS
/// rebinding), and the Host header is where that shows.
/// </summary>
internal sealed class AdminHosts(string configured)
{
    public bool IsOurs(string host) =>
        IPAddress.TryParse(host.Trim('[', ']'), out _) ||
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) ||
        host.Equals(configured, StringComparison.OrdinalIgnoreCase);
}
