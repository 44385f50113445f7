using Microsoft.AspNetCore.Http;
using Serve.Embedded.Proxy;

namespace Serve.Embedded.Tests.Proxy;

public sealed class RequestHeadersTests
{
    [Fact]
    public void AreUsual_WhatClientsSend_IsTrue()
    {
        IHeaderDictionary headers = new HeaderDictionary();
        headers.Host = "a";
        headers.UserAgent = "b";
        headers.Accept = "*/*";
        headers.AcceptEncoding = "gzip";
        headers.Connection = "keep-alive";
        headers.ContentType = "text/plain";
        headers.ContentLength = 3;

        Assert.True(RequestHeaders.AreUsual(headers));
        Assert.True(RequestHeaders.AreUsual(new HeaderDictionary()));
    }

    [Theory]
    [InlineData("X-Request-ID")]
    [InlineData("x-request-timeout-seconds")]
    [InlineData("serve_multiplexed_model_id")]
    [InlineData("x-session-id")]
    [InlineData("x-request-disconnect-disabled")]
    public void AreUsual_OneThatHasAMeaning_IsFalse(string name)
    {
        IHeaderDictionary headers = new HeaderDictionary { [name] = "1" };
        headers.Host = "a";
        headers.Accept = "*/*";
        headers.ContentLength = 0;

        Assert.False(RequestHeaders.AreUsual(headers));
    }

    /// <summary>One header sent twice must not hide another.</summary>
    [Fact]
    public void AreUsual_TwoValuesInPlaceOfAHeaderThatHasAMeaning_IsFalse()
    {
        IHeaderDictionary headers = new HeaderDictionary { ["x-session-id"] = "1" };
        headers.Host = "a";
        headers.Accept = new(["text/html", "*/*"]);

        Assert.False(RequestHeaders.AreUsual(headers));
    }
}
