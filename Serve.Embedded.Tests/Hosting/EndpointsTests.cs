using System.Net;
using System.Net.Sockets;
using Serve.Embedded.Hosting;

namespace Serve.Embedded.Tests.Hosting;

public sealed class EndpointsTests
{
    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("0.0.0.0")]
    [InlineData("::1")]
    public async Task Resolve_Address_IsItself(string host) =>
        Assert.Equal([new IPEndPoint(IPAddress.Parse(host), 8000)], await Endpoints.ResolveAsync("http_options", host, 8000));

    [Fact]
    public async Task Resolve_Name_IsAllItsAddressesOnOnePort()
    {
        IReadOnlyList<IPEndPoint> endpoints = await Endpoints.ResolveAsync("http_options", "localhost", 8000);

        Assert.NotEmpty(endpoints);
        Assert.All(endpoints, e => Assert.True(IPAddress.IsLoopback(e.Address)));
        Assert.All(endpoints, e => Assert.Equal(8000, e.Port));
        Assert.Equal(endpoints.Count, endpoints.Distinct().Count());
    }

    [Fact]
    public async Task Resolve_NameWithAnyFreePort_IsOneAddress() =>
        Assert.Single(await Endpoints.ResolveAsync("http_options", "localhost", 0));

    [Fact]
    public async Task Resolve_NameWithoutAddress_SaysWhichKey()
    {
        ServeException exception = await Assert.ThrowsAsync<ServeException>(() => Endpoints.ResolveAsync("admin_options", "no-such-host.invalid", 1));

        Assert.StartsWith("admin_options.host = \"no-such-host.invalid\" has no address", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(SocketError.AddressAlreadyInUse, "127.0.0.1", "Cannot listen on 127.0.0.1:80 (http_options): ", "Stop what listens there, or choose another http_options.port.")]
    [InlineData(SocketError.AddressNotAvailable, "2001:db8::1", "Cannot listen on [2001:db8::1]:80 (http_options): ", "This machine has no such address: choose another http_options.host, such as 127.0.0.1 or 0.0.0.0.")]
    [InlineData(SocketError.AccessDenied, "0.0.0.0", "Cannot listen on 0.0.0.0:80 (http_options): ", "Choose a http_options.port of 1024 or more, or let the server use lower ones (CAP_NET_BIND_SERVICE).")]
    public void CannotListen_EachReason_SaysWhatHelps(SocketError reason, string host, string start, string end)
    {
        ServeException exception = Endpoints.CannotListen("http_options", host, 80, new IOException("Failed to bind", new SocketException((int)reason)));

        Assert.StartsWith(start, exception.Message, StringComparison.Ordinal);
        Assert.EndsWith(end, exception.Message, StringComparison.Ordinal);
    }
}
