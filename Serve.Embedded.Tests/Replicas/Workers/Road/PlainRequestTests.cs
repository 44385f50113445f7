using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>Which requests are plain, with each rule on both sides of its limit, and what the worker gets of them.</summary>
public sealed class PlainRequestTests
{
    private const string Line = "GET / HTTP/1.1\r\n";
    private const string Host = "Host: a\r\n";

    public static TheoryData<string> Plain => new()
    {
        Line + Host + "\r\n",
        Line + "hOST: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PATCH / HTTP/1.1\r\nHost: a\r\n\r\n",
        "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
        Target("/a.b/c..d"),
        Target("/a//b"),
        Target("/-"),
        Target("/a/-/b"),
        Target("/?a=%20/../.&b=\\"),
        Target("/a?b?c"),
        Line + "Host: 127.0.0.1\r\n\r\n",
        Line + "Host: a-b.example:65535\r\n\r\n",
        Header("Connection: close"),
        Header("Connection: Keep-Alive"),
        Header("Keep-Alive: timeout=5"),
        Header("X-A: a\tb c"),
        Header("X-A: "),
        Header("!#$%&'*+-.^_`|~09azAZ: a"),
        Header("Content-Length: 0"),
        Header($"Content-Length: {PlainRequest.LargestBody}"),
        Header($"X-Request-ID: {new string('a', 256)}"),
        Header("X-Forwarded-For: 1.2.3.4"),
        Header("x-request-timeout-seconds: 1"),
        Header("X-Forwarded-Host: a\r\nX-Forwarded-Host: b"),
        Header("Proxied: a"),
        Header("X-Session-Ids: a"),
        Header(string.Join("\r\n", Enumerable.Range(0, 99).Select(i => $"X-{i}: a"))),
        HeadOf(PlainRequest.LargestHead),
    };

    public static TheoryData<string> LeftAlone => new()
    {
        "",
        "GET",
        "\r\n" + Line + Host + "\r\n",
        Line + Host,
        Line + Host + "\r",
        Line + "\r\n",
        Line + "Host: \r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUTT / HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.11\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        Target("*"),
        Target("a"),
        Target("http://a/"),
        Target("/a#b"),
        Target("/?a#b"),
        Target("/a b"),
        Target("/%41"),
        Target("/."),
        Target("/a/../b"),
        Target("/.a"),
        Target("/-/routes"),
        Target("/-/"),
        Target("/\u00e9"),
        Line + "Host: a\r\nHost: a\r\n\r\n",
        Line + "Host: a:\r\n\r\n",
        Line + "Host: a:123456\r\n\r\n",
        Line + "Host: a:b\r\n\r\n",
        Line + "Host: :80\r\n\r\n",
        Line + "Host: [::1]\r\n\r\n",
        Line + "Host: a_b\r\n\r\n",
        Line + "Host: a@b\r\n\r\n",
        Line + "Host: a,b\r\n\r\n",
        Header("Connection: close, keep-alive"),
        Header("Connection: upgrade"),
        Header("Connection: X-A"),
        Header("Connection: "),
        Header("X-A:a"),
        Header("X-A:  a"),
        Header("X-A: a "),
        Header("X-A: a\t"),
        Header("X-A:\ta"),
        Header("X-A:"),
        Header("X-A : a"),
        Header(" X-A: a"),
        Header(": a"),
        Header("X-A"),
        Header("X-A: a\r\n b"),
        Header("X-A: a\r\n\tb"),
        Header("X-A: a\nX-B: b"),
        Header("X-A: a\rX-B: b"),
        Header("X-A: \0"),
        Header("X-A: \u007f"),
        Header("X-A: \u00e9"),
        Header("X(A: a"),
        Header("Content-Length: "),
        Header("Content-Length: 00"),
        Header("Content-Length: 05"),
        Header("Content-Length: +5"),
        Header("Content-Length: -5"),
        Header("Content-Length: 5, 5"),
        Header("Content-Length: 5\r\nContent-Length: 5"),
        Header($"Content-Length: {PlainRequest.LargestBody + 1}"),
        Header("Content-Length: 4294967296"),
        Header("Content-Length: 18446744073709551621"),
        Header("X-Request-ID: "),
        Header("X-Request-ID: a\tb"),
        Header($"X-Request-ID: {new string('a', 257)}"),
        Header("X-Request-ID: a\r\nx-request-id: a"),
        Header("X-Forwarded-For: "),
        Header("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 1.2.3.4"),
        Header("x-request-timeout-seconds: "),
        Header("x-request-timeout-seconds: 1\r\nx-request-timeout-seconds: 1"),
        Header("x-session-id: a"),
        Header("serve_multiplexed_model_id: a"),
        Header("x-request-disconnect-disabled: ?1"),
        Header("Expect: 100-continue"),
        Header("TE: trailers"),
        Header("Trailer: a"),
        Header("Upgrade: websocket"),
        Header("Transfer-Encoding: chunked"),
        Header("HTTP2-Settings: a"),
        Header("Proxy: a"),
        Header("Proxy-Authorization: a"),
        Header(string.Join("\r\n", Enumerable.Range(0, 100).Select(i => $"X-{i}: a"))),
        HeadOf(PlainRequest.LargestHead + 1),
    };

    [Theory]
    [MemberData(nameof(Plain))]
    public void TryRead_Plain_IsReadToItsEnd(string head)
    {
        Assert.True(new PlainRequest().TryRead(Encoding.Latin1.GetBytes(head + "GET"), out int length));
        Assert.Equal(head.Length, length);
    }

    [Theory]
    [MemberData(nameof(LeftAlone))]
    public void TryRead_AnythingElse_IsLeftAlone(string head) => Assert.False(new PlainRequest().TryRead(Encoding.Latin1.GetBytes(head), out _));

    [Fact]
    public void TryRead_EachByteLess_IsLeftAlone()
    {
        byte[] head = Encoding.Latin1.GetBytes(Line + Host + "X-A: b\r\n\r\n");
        Assert.All(Enumerable.Range(0, head.Length), n => Assert.False(new PlainRequest().TryRead(head.AsSpan(0, n), out _)));
    }

    [Theory]
    [InlineData("GET", "close", true, false, true)]
    [InlineData("HEAD", "CLOSE", true, true, true)]
    [InlineData("PUT", "keep-alive", false, false, true)]
    [InlineData("DELETE", "keep-alive", false, false, true)]
    [InlineData("POST", "keep-alive", false, false, false)]
    [InlineData("PATCH", "keep-alive", false, false, false)]
    public void TryRead_Plain_SaysWhatItIs(string method, string connection, bool closes, bool isHead, bool isIdempotent)
    {
        PlainRequest request = Read($"{method} /a/b?c=/d HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\nContent-Length: 12\r\nX-Request-ID: one\r\nX-Request-Timeout-Seconds: 1.5\r\n\r\n");

        Assert.Equal((method, closes, isHead, isIdempotent, 12), (request.Method, request.Closes, request.IsHead, request.IsIdempotent, request.BodyLength));
        Assert.Equal(("/a/b", "one", "1.5"), (Text(request.Path), Text(request.RequestId), Text(request.Timeout)));
    }

    [Fact]
    public void TryRead_Again_KnowsNothingOfTheOneBefore()
    {
        PlainRequest request = Read("HEAD /long?a HTTP/1.1\r\nHost: long\r\nConnection: close\r\nContent-Length: 7\r\nX-Request-ID: one\r\nX-Forwarded-For: 1.2.3.4\r\nx-request-timeout-seconds: 1\r\nX-A: a\r\n\r\n");

        Assert.True(request.TryRead(Encoding.Latin1.GetBytes(Line + Host + "\r\n"), out _));

        Assert.Equal(("GET", false, false, 0, "/", "", ""), (request.Method, request.Closes, request.IsHead, request.BodyLength, Text(request.Path), Text(request.RequestId), Text(request.Timeout)));
        Assert.Equal("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: id\r\nX-Forwarded-For: 9.8.7.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n", Written(request, null));
    }

    [Theory]
    [InlineData(null, "/a/b?c", "/a/b?c", "")]
    [InlineData("/", "/a", "/a", "")]
    [InlineData("/a", "/a/b?c", "/b?c", "X-Forwarded-Prefix: /a\r\n")]
    [InlineData("/a", "/a", "/", "X-Forwarded-Prefix: /a\r\n")]
    [InlineData("/a", "/a/", "/", "X-Forwarded-Prefix: /a\r\n")]
    [InlineData("/a", "/a?c", "/?c", "X-Forwarded-Prefix: /a\r\n")]
    [InlineData("/a/b", "/a/b//c", "//c", "X-Forwarded-Prefix: /a/b\r\n")]
    public void Write_Prefix_IsTakenOffAndTold(string? prefix, string target, string written, string header) => Assert.Equal(
        $"GET {written} HTTP/1.1\r\nHost: a\r\nX-Request-ID: id\r\nX-Forwarded-For: 9.8.7.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n{header}\r\n",
        Written(Read(Target(target)), prefix));

    [Fact]
    public void Write_Headers_GoOnAsTheyCameButForTheServersOwn()
    {
        PlainRequest request = Read(
            "POST /x HTTP/1.1\r\nX-First: 1\r\nx-forwarded-proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Prefix: /evil\r\nX-Request-ID: theirs\r\nX-Second: a  b\r\nX-Second: \r\nx-request-timeout-seconds: 3\r\n"
            + "Host: h.example:81\r\nKeep-Alive: timeout=1\r\nConnection: keep-alive\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nContent-Length: 5\r\nCookie: c=d\r\n\r\n");

        Assert.Equal(
            "POST /x HTTP/1.1\r\nX-First: 1\r\nX-Second: a  b\r\nX-Second: \r\nx-request-timeout-seconds: 3\r\nHost: h.example:81\r\nCookie: c=d\r\nX-Request-ID: id\r\n"
            + "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 9.8.7.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h.example:81\r\nContent-Length: 5\r\n\r\n",
            Written(request, null));
    }

    private static string Target(string target) => $"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n";

    private static string Header(string header) => $"{Line}{Host}{header}\r\n\r\n";

    private static string HeadOf(int length) => Header($"X-A: {new string('a', length - Header("X-A: ").Length)}");

    private static PlainRequest Read(string head)
    {
        PlainRequest request = new();
        Assert.True(request.TryRead(Encoding.Latin1.GetBytes(head), out _));
        return request;
    }

    private static string Text(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(bytes);

    private static string Written(PlainRequest request, string? prefix)
    {
        WireBuffer buffer = new(16);
        request.Write(buffer, new Client(request, prefix));
        return Text(buffer.WrittenSpan);
    }

    private sealed class Client(PlainRequest request, string? prefix) : IPlainClient
    {
        public PlainRequest Request => request;

        public ReadOnlySequence<byte> Body => default;

        public string? Prefix => prefix;

        public string RequestId => "id";

        public bool MayBeSentAgain => Request.IsIdempotent;

        public DateTimeOffset Now => default;

        public ReadOnlySpan<byte> Address => "9.8.7.6"u8;

        public EventLoop Loop => throw new NotSupportedException();

        public PipeWriter Output => throw new NotSupportedException();

        public bool ResponseBegins(int statusCode, bool hasLength) => throw new NotSupportedException();

        public ValueTask FlushAsync() => throw new NotSupportedException();
    }
}
