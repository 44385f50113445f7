using System.Net;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Admin;

namespace Serve.Embedded.Tests.Admin;

public sealed class AdminGuardTests
{
    [Theory]
    [InlineData("GET", null, null, null)]
    [InlineData("PUT", null, null, null)]
    [InlineData("PUT", "http://127.0.0.1:8265", "same-origin", null)]
    [InlineData("GET", "http://evil.example", "cross-site", null)]
    [InlineData("PUT", "http://evil.example", null, 403)]
    [InlineData("PUT", "http://127.0.0.1:9000", null, 403)]
    [InlineData("DELETE", null, "cross-site", 403)]
    [InlineData("POST", null, "same-site", 403)]
    [InlineData("POST", "null", null, 403)]
    public void Refuses_PageOfAnotherOrigin_MayReadAndNotChange(string method, string? origin, string? site, int? statusCode)
    {
        HttpContext context = Request(method);
        context.Request.Headers.Origin = origin;
        context.Request.Headers["Sec-Fetch-Site"] = site;

        Assert.Equal(statusCode, new AdminGuard(new("127.0.0.1", []), null).Refuses(context)?.StatusCode);
    }

    [Theory]
    [InlineData("Bearer secret", null)]
    [InlineData("bearer secret", null)]
    [InlineData("Bearer wrong", 401)]
    [InlineData("Bearer secret2", 401)]
    [InlineData("Basic secret", 401)]
    [InlineData(null, 401)]
    public void Refuses_TokenIsSet_OnlyWhoShowsItMayAsk(string? authorization, int? statusCode)
    {
        HttpContext context = Request("GET");
        context.Request.Headers.Authorization = authorization;

        Assert.Equal(statusCode, new AdminGuard(new("127.0.0.1", []), "secret").Refuses(context)?.StatusCode);
    }

    [Fact]
    public void Refuses_NameOfSomebodyElse_SaysWhereToListIt()
    {
        HttpContext context = Request("GET");
        context.Request.Host = new("evil.example:8265");

        (int statusCode, string message) = new AdminGuard(new("127.0.0.1", []), null).Refuses(context)!.Value;

        Assert.Equal(403, statusCode);
        Assert.Contains("admin_options.allowed_hosts", message, StringComparison.Ordinal);
    }

    private static DefaultHttpContext Request(string method) => new()
    {
        Request = { Method = method, Scheme = "http", Host = new("127.0.0.1:8265") },
        Connection = { LocalIpAddress = IPAddress.Loopback },
    };
}
