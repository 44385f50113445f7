namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>What a client may send wrong, or in a way that another server could understand differently.</summary>
/// <param name="Name">What it tries.</param>
/// <param name="Bytes">What is sent, behind which one more request follows in the same breath.</param>
/// <param name="Statuses">What it is answered, and what the requests are answered that are hidden in it, if they are rightly requests of their own.</param>
/// <param name="Reaches">Requests that reach the worker.</param>
/// <param name="Keeps">The connection goes on, and the request that follows is answered too.</param>
/// <param name="Gets">What the worker gets of it.</param>
internal sealed record ClientCase(string Name, string Bytes, int[] Statuses, int Reaches, bool Keeps, string Gets = "")
{
    private const string Smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Mark: smuggled\r\n\r\n";

    public static IReadOnlyList<ClientCase> All { get; } =
    [
        // Two ways to say where the body ends.
        Refused("Content-Length and Transfer-Encoding", Post("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n"),
        Refused("Transfer-Encoding and Content-Length", Post("Transfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n"),
        Refused("CL.TE: a request hidden behind the last chunk", Post("Content-Length: 60", "Transfer-Encoding: chunked") + "0\r\n\r\n" + Smuggled),
        Refused("TE.CL: a request hidden in a chunk", Post("Content-Length: 4", "Transfer-Encoding: chunked") + $"{Smuggled.Length:x}\r\n" + Smuggled + "\r\n0\r\n\r\n"),
        Refused("both, where the length is 0", Post("Content-Length: 0", "Transfer-Encoding: chunked") + "0\r\n\r\n"),
        Refused("both, in a GET", Get("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n"),
        Refused("both, where Connection names the length", Post("Connection: content-length", "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n"),
        Refused("two Content-Lengths", Post("Content-Length: 5", "Content-Length: 6") + "hello"),
        Refused("the same Content-Length twice", Post("Content-Length: 5", "Content-Length: 5") + "hello"),
        Refused("a list of Content-Lengths", Post("Content-Length: 5,5") + "hello"),
        Refused("a list of Content-Lengths with a space", Post("Content-Length: 5, 5") + "hello"),

        // Nothing between the method and the version.
        Refused("a line of two words", "GET HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n"),

        // Lengths that are no numbers.
        Passed("a signed length, which Kestrel reads as 5", Post("Content-Length: +5") + "hello", gets: "Content-Length: 5\n\nhello"),
        Refused("a negative length", Post("Content-Length: -5") + "hello"),
        Refused("a hexadecimal length", Post("Content-Length: 0x5") + "hello"),
        Refused("no length", Post("Content-Length:") + "hello"),
        Refused("a length with a fraction", Post("Content-Length: 5.0") + "hello"),
        Refused("a length in two parts", Post("Content-Length: 5 5") + "hello"),
        Refused("a length that no number holds", Post("Content-Length: 18446744073709551621") + "hello"),
        Refused("a quoted length", Post("Content-Length: \"5\"") + "hello"),
        Passed("spaces around a length", Post("Content-Length:   5  ") + "hello", gets: "Content-Length: 5\n\nhello"),
        Passed("tabs around a length", Post("Content-Length:\t5\t") + "hello", gets: "Content-Length: 5\n\nhello"),
        Passed("zeros before a length", Post("Content-Length: 005") + "hello", gets: "Content-Length: 5\n\nhello"),

        // Encodings other than chunked alone.
        Refused("chunked, identity", Post("Transfer-Encoding: chunked, identity") + "0\r\n\r\n"),
        Refused("identity", Post("Transfer-Encoding: identity") + "hello"),
        Refused("gzip, chunked", Post("Transfer-Encoding: gzip, chunked") + "0\r\n\r\n", status: 501),
        Refused("chunked, chunked", Post("Transfer-Encoding: chunked, chunked") + "0\r\n\r\n", status: 501),
        Refused("TE.TE: two encodings", Post("Transfer-Encoding: chunked", "Transfer-Encoding: x") + "0\r\n\r\n"),
        Refused("TE.TE: the other way round", Post("Transfer-Encoding: x", "Transfer-Encoding: chunked") + "0\r\n\r\n", status: 501),
        Refused("chunked twice", Post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n", status: 501),
        Refused("xchunked", Post("Transfer-Encoding: xchunked") + "0\r\n\r\n"),
        Refused("chunked;x", Post("Transfer-Encoding: chunked;x=y") + "0\r\n\r\n"),
        Refused("quoted chunked", Post("Transfer-Encoding: \"chunked\"") + "0\r\n\r\n"),
        Refused("no encoding", Post("Transfer-Encoding:") + "0\r\n\r\n"),
        Refused("a comma before chunked", Post("Transfer-Encoding: ,chunked") + "0\r\n\r\n", status: 501),
        Refused("a vertical tab before chunked", Post("Transfer-Encoding: \vchunked") + "0\r\n\r\n"),
        Refused("chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nX-Mark: case\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Passed("Chunked in another case", Post("Transfer-Encoding: cHuNkEd") + "0\r\n\r\n", gets: "Transfer-Encoding: chunked\n\n"),
        Passed("spaces and tabs around chunked", Post("Transfer-Encoding: \t chunked\t ") + "0\r\n\r\n"),
        Refused("a space before the colon", Post("Transfer-Encoding : chunked") + "0\r\n\r\n"),
        Refused("a space before the name", Post(" Transfer-Encoding: chunked") + "0\r\n\r\n"),
        Refused("a NUL behind the name", Post("Transfer-Encoding\0: chunked") + "0\r\n\r\n"),
        Passed("another name for Transfer-Encoding is none", Get("Transfer_Encoding: chunked"), gets: "Transfer_Encoding: chunked\nX-"),

        // Chunks.
        Passed("chunks", Chunked("5\r\nhello\r\n0\r\n\r\n"), gets: "Transfer-Encoding: chunked\n\nhello"),
        Passed("chunks with extensions", Chunked("5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"), gets: "Transfer-Encoding: chunked\n\nhello"),
        Passed("chunks with trailers", Chunked("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"), gets: "Transfer-Encoding: chunked\nX-Sum: 1\n\nhello"),
        Passed("a trailer that frames", Chunked("5\r\nhello\r\n0\r\nContent-Length: 7\r\nTransfer-Encoding: x\r\nHost: b\r\n\r\n"), gets: "Transfer-Encoding: chunked\n\nhello"),
        Broken("a chunk of 0x5", Chunked("0x5\r\nhello\r\n0\r\n\r\n")),
        Broken("a chunk of -1", Chunked("-1\r\nhello\r\n0\r\n\r\n")),
        Broken("a chunk of +5", Chunked("+5\r\nhello\r\n0\r\n\r\n")),
        Broken("a chunk without a size", Chunked("\r\nhello\r\n0\r\n\r\n")),
        Broken("a chunk that no number holds", Chunked("FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n")),
        Broken("a chunk that is 5 modulo 2^32", Chunked("100000005\r\nhello\r\n0\r\n\r\n")),
        Broken("a chunk shorter than it says", Chunked("6\r\nhello\r\n0\r\n\r\n")),
        Broken("a chunk longer than it says", Chunked("4\r\nhello\r\n0\r\n\r\n")),
        Broken("a chunk's size that ends with a line feed", Chunked("5\nhello\r\n0\r\n\r\n")),
        Broken("a chunk that ends with a line feed", Chunked("5\r\nhello\n0\r\n\r\n")),
        Broken("an extension with a line feed", Chunked("5;a\nhello\r\n0\r\n\r\n")),
        Broken("an extension with a line feed hides a request", Chunked("5;\nxxxx\r\nhello\r\n0\r\n\r\n")),
        Broken("an extension with a carriage return", Chunked("5;a\rb\r\nhello\r\n0\r\n\r\n")),
        Broken("a space before a chunk's size", Chunked(" 5\r\nhello\r\n0\r\n\r\n")),
        Broken("a last chunk that ends with a line feed", Chunked("5\r\nhello\r\n0\n\r\n")),

        // Ends of lines.
        Refused("bare line feeds", "GET / HTTP/1.1\nHost: a\nX-Mark: case\n\n"),
        Refused("a request line that ends with a line feed", "GET / HTTP/1.1\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Refused("a header that ends with a line feed", "GET / HTTP/1.1\r\nHost: a\nX-Mark: case\r\n\r\n"),
        Refused("a head that ends with a line feed", "GET / HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\n"),
        Refused("a bare carriage return in a value", Get("A: b\rContent-Length: 5")),
        Refused("a bare carriage return in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Refused("two carriage returns", "GET / HTTP/1.1\r\r\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Refused("folding", Get("A: b\r\n c")),
        Refused("folding with a tab", Get("A: b\r\n\tc")),
        Refused("folding of an encoding", Post("Transfer-Encoding:\r\n chunked") + "0\r\n\r\n"),
        Refused("folding of the first header", "GET / HTTP/1.1\r\n Host: a\r\nX-Mark: case\r\n\r\n"),

        // Names and values.
        Refused("a header without a colon", Get("abc")),
        Refused("a header without a name", Get(": b")),
        Refused("a space in a name", Get("A B: c")),
        Refused("a space before the colon of any header", Get("A : b")),
        Refused("a tab before the colon", Get("A\t: b")),
        Refused("a NUL in a value", Get("A: b\0c")),
        Refused("a NUL in a name", Get("A\0B: c")),
        Refused("a parenthesis in a name", Get("A(B): c")),
        Refused("a byte above 0x7F in a name", Get("\u00c4: c")),
        Refused("a control character in a name", Get("A\u0001: c")),
        Refused("a control character in a value", Get("A: b\u0001c")),
        Passed("UTF-8 in a value", Get("A: b\u00c3\u00a4c"), gets: "A: b\u00c3\u00a4c\n"),
        Passed("no UTF-8 in a value", Get("A: \u00e4\u00ff\u00c3"), gets: "A: \u00e4\u00ff\u00c3\n"),

        // Targets and hosts.
        Refused("no Host", "GET / HTTP/1.1\r\nX-Mark: case\r\n\r\n"),
        Refused("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Mark: case\r\n\r\n"),
        Refused("the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Refused("a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\nX-Mark: case\r\n\r\n"),
        Refused("a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\nX-Mark: case\r\n\r\n"),
        Refused("a Host with a user", "GET / HTTP/1.1\r\nHost: b@a\r\nX-Mark: case\r\n\r\n"),
        Refused("an absolute target with another Host", "GET http://b/x HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Passed("an absolute target", "GET http://a/x HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "GET /x\nHost: a\n"),
        Passed("encoded slashes", "GET /a%2Fb%5c HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "GET /a%2Fb%5c\n"),
        Passed("dot segments", "GET /a/../b/./c HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "GET /b/c\n"),
        Passed("encoded dot segments", "GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "GET /b\n"),
        Passed("dot segments above the root", "GET /../../a HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "GET /a\n"),
        Passed("two slashes", "GET //b/c HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "GET //b/c\n"),
        Refused("a NUL in the target", "GET /a\0b HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Refused("an encoded NUL in the target", "GET /a%00b HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Refused("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Passed("an encoded CR LF in the target", "GET /a%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "GET /a%0d%0aX:%20y\n"),
        Passed("an encoded CR LF in the query", "GET /?a%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "GET /?a%0d%0aX:%20y\n"),
        Refused("a byte above 0x7F in the target", "GET /\u00e4 HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Refused("a target without a slash", "GET a HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", status: 405),
        Refused("no target", "GET  HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Passed("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "OPTIONS *\n"),
        Refused("GET *", "GET * HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", status: 405),
        Refused("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nX-Mark: case\r\n\r\n", status: 405),
        Refused("CONNECT to a path", "CONNECT /a HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", status: 405),
        Passed("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "TRACE /\n"),
        Passed("HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n"),
        Passed("a method of one's own", "FROB / HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", gets: "FROB /\n"),
        Refused("a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n"),

        // Versions.
        Refused("HTTP/0.9", "GET /\r\n"),
        Refused("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\nX-Mark: case\r\n\r\n", status: 505),
        Refused("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\nX-Mark: case\r\n\r\n", status: 505),
        new("the preface of HTTP/2, answered in HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [], Reaches: 0, Keeps: false),
        Refused("http/1.1", "GET / http/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", status: 505),
        Refused("nothing but garbage", "\u0016\u0003\u0001\u0002\0\u0001\0\u0001\u00fc\r\n\r\n"),
        new("HTTP/1.0", "GET / HTTP/1.0\r\nX-Mark: case\r\n\r\n", [200], Reaches: 1, Keeps: false),
        Passed("HTTP/1.0 that stays", "GET / HTTP/1.0\r\nConnection: keep-alive\r\nX-Mark: case\r\n\r\n"),
        new("HTTP/1.1 that goes", Get("Connection: close"), [200], Reaches: 1, Keeps: false),
        Passed("an empty line before", "\r\n" + Get()),

        // Headers that Connection names.
        Passed("Connection: content-length", Post("Connection: content-length", "Content-Length: 5") + "hello", gets: "Content-Length: 5\n\nhello"),
        Passed("Connection: transfer-encoding", Post("Connection: transfer-encoding", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", gets: "Transfer-Encoding: chunked\n\nhello"),
        Passed("Connection: host", Get("Connection: host"), gets: "Host: a\n"),
        Passed("Connection: x-forwarded-for", Get("Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host", "X-Forwarded-For: 9.9.9.9"), gets: "X-Forwarded-For: 9.9.9.9, 127.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: a\n\n"),
        Passed("Connection: authorization", Get("Connection: authorization, cookie", "Authorization: Basic x")),

        // Upgrades.
        Passed("h2c", Get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), gets: "X-Forwarded-Host: a\n\n"),
        Passed("h2c among others", Get("Connection: Upgrade", "Upgrade: websocket, h2c"), gets: "X-Forwarded-Host: a\n\n"),
        Passed("an upgrade that the worker does not take", Get("Connection: Upgrade", "Upgrade: websocket"), gets: "Connection: Upgrade\nUpgrade: websocket\n"),
        Passed("an upgrade that Connection does not name", Get("Upgrade: websocket"), gets: "X-Forwarded-Host: a\n\n"),
        Passed("an upgrade with a body", Post("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 5") + "hello", gets: "Content-Length: 5\n\nhello"),
        Passed("Expect: 100-continue with the body at once", Post("Expect: 100-continue", "Content-Length: 5") + "hello", gets: "Content-Length: 5\n\nhello"),

        // Sizes.
        Refused("a long target", $"GET /{new string('a', 9000)} HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n\r\n", status: 414),
        Refused("a large header", Get($"A: {new string('b', 40_000)}"), status: 431),
        Refused("many headers", Get([.. Enumerable.Range(0, 101).Select(i => $"A{i}: b")]), status: 431),

        // Requests one behind the other are requests of their own.
        new("two requests", Get() + Smuggled, [200, 200], Reaches: 2, Keeps: true),
        new("a body of length 0 and a request", Post("Content-Length: 0") + Smuggled, [200, 200], Reaches: 2, Keeps: true),
        new("a GET with a body", Get("Content-Length: 5") + "hello" + Smuggled, [200, 200], Reaches: 2, Keeps: true),
        new("a POST without a length has no body", Post() + Smuggled, [200, 200], Reaches: 2, Keeps: true),
    ];

    private static ClientCase Passed(string name, string bytes, string gets = "") => new(name, bytes, [200], Reaches: 1, Keeps: true, gets);

    /// <summary>Refused for its head: the worker does not hear of it.</summary>
    private static ClientCase Refused(string name, string bytes, int status = 400) => new(name, bytes, [status], Reaches: 0, Keeps: false);

    /// <summary>Refused for its body, when the worker may have got a part of it.</summary>
    private static ClientCase Broken(string name, string bytes) => Refused(name, bytes);

    private static string Get(params string[] headers) => Head("GET", headers);

    private static string Post(params string[] headers) => Head("POST", headers);

    private static string Chunked(string body) => Post("Transfer-Encoding: chunked") + body;

    private static string Head(string method, string[] headers) =>
        $"{method} / HTTP/1.1\r\nHost: a\r\nX-Mark: case\r\n{string.Concat(headers.Select(h => $"{h}\r\n"))}\r\n";
}
