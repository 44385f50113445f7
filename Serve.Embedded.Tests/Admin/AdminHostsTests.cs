using Serve.Embedded.Admin;

namespace Serve.Embedded.Tests.Admin;

public sealed class AdminHostsTests
{
    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("[::1]", true)]
    [InlineData("10.1.2.3", true)]
    [InlineData("localhost", true)]
    [InlineData("LOCALHOST", true)]
    [InlineData("box.example", true)]
    [InlineData("Box.Example", true)]
    [InlineData("evil.example", false)]
    [InlineData("localhost.evil.example", false)]
    [InlineData("127.0.0.1.evil.example", false)]
    [InlineData("xbox.example", false)]
    [InlineData("", false)]
    public void IsOurs_Host_IsAnAddressLocalhostOrTheConfiguredName(string host, bool ours) =>
        Assert.Equal(ours, new AdminHosts("box.example").IsOurs(host));
}
