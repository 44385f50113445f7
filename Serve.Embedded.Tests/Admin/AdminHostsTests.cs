using System.Net;
using Serve.Embedded.Admin;

namespace Serve.Embedded.Tests.Admin;

public sealed class AdminHostsTests
{
    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("127.0.0.2", true)]
    [InlineData("[::1]", true)]
    [InlineData("10.1.2.3", true)]
    [InlineData("10.1.2.4", false)]
    [InlineData("localhost", true)]
    [InlineData("LOCALHOST", true)]
    [InlineData("box.example", true)]
    [InlineData("Box.Example", true)]
    [InlineData("listed.example", true)]
    [InlineData("evil.example", false)]
    [InlineData("localhost.evil.example", false)]
    [InlineData("127.0.0.1.evil.example", false)]
    [InlineData("xbox.example", false)]
    [InlineData("", false)]
    public void IsOurs_Host_IsLoopbackTheConnectionsAddressOrAConfiguredName(string host, bool ours) =>
        Assert.Equal(ours, new AdminHosts("box.example", ["listed.example"]).IsOurs(host, IPAddress.Parse("10.1.2.3")));

    [Fact]
    public void IsOurs_AddressOfADualStackListener_IsTheSame() => Assert.True(new AdminHosts("::", []).IsOurs("10.1.2.3", IPAddress.Parse("::ffff:10.1.2.3")));
}
