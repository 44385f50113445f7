using System.Net;
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
}
