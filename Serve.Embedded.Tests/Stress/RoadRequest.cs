using System.Globalization;
using System.Text;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Tests.Stress;

/// <summary>What the worker does with a request.</summary>
internal enum RoadDeed
{
    /// <summary>Answers in one piece.</summary>
    Whole,

    /// <summary>Answers in pieces of a known length together.</summary>
    Pieces,

    /// <summary>Answers in chunks.</summary>
    Chunks,

    /// <summary>Answers, and the end of the connection is the end of its answer.</summary>
    UntilClosed,

    /// <summary>Answers, and closes the connection although it has not said so.</summary>
    ThenCloses,

    /// <summary>Closes the connection without an answer.</summary>
    Breaks,

    /// <summary>Closes the connection in the middle of its answer.</summary>
    BreaksOff,

    /// <summary>Does not answer.</summary>
    Hangs,
}

/// <summary>One request of the stress: what is sent, what is to come of it, and what did.</summary>
internal sealed class RoadRequest
{
    /// <summary>An answer of this length is read and sent in one piece.</summary>
    private const int SurelyTogether = 4000;

    private const string PlainKind = "X-Plain: 1\r\n";

    /// <summary>Each by itself makes a request one that is not plain.</summary>
    private static readonly string[] OtherKinds = ["x-session-id: a\r\n", "Keep-Alive:5\r\n", "Cookie:  a\r\n"];

    private static readonly RoadDeed[] Deeds =
    [
        RoadDeed.Whole, RoadDeed.Whole, RoadDeed.Whole, RoadDeed.Whole, RoadDeed.Whole, RoadDeed.Whole, RoadDeed.Pieces, RoadDeed.Pieces, RoadDeed.Pieces, RoadDeed.Chunks, RoadDeed.Chunks, RoadDeed.Chunks, RoadDeed.UntilClosed,
        RoadDeed.ThenCloses, RoadDeed.Breaks, RoadDeed.BreaksOff, RoadDeed.Hangs,
    ];

    private int _runs;

    /// <summary>Nobody else's.</summary>
    public required string Token { get; init; }

    public required string Method { get; init; }

    /// <summary>Whether the short road can take it.</summary>
    public required bool IsPlain { get; init; }

    public required RoadDeed Deed { get; init; }

    /// <summary>Of the answer's body.</summary>
    public required int Length { get; init; }

    /// <summary>All that is sent.</summary>
    public required string Text { get; init; }

    /// <summary>The client wants its connection closed.</summary>
    public required bool Closes { get; init; }

    /// <summary>The client may have been sent some of the answer, and a reset, which throws away what it has not read, in place of the rest.</summary>
    public bool MayBeBrokenOff => Deed is RoadDeed.Pieces or RoadDeed.Chunks or RoadDeed.UntilClosed or RoadDeed.BreaksOff || Length > SurelyTogether;

    /// <summary>How often a worker has got it.</summary>
    public int Runs => Volatile.Read(ref _runs);

    /// <summary>Its client closed the connection, while it waited for the answer or as soon as it had it.</summary>
    public bool HasLeft { get; set; }

    /// <summary>Of the answer; <see langword="null"/> = none came.</summary>
    public int? Status { get; set; }

    /// <summary>The whole of a worker's answer has come.</summary>
    public bool IsWhole { get; set; }

    /// <summary>The answer said that nobody has run it.</summary>
    public bool WasNotRun { get; set; }

    public static RoadRequest Random(SeededRandom random, string token)
    {
        string method = random.Next(10) switch { < 5 => "GET", 5 => "HEAD", 6 => "PUT", _ => "POST" };
        RoadDeed deed = Deeds[random.Next(Deeds.Length)];
        int length = random.Next(12) switch { 0 => 0, < 8 => random.Next(1, 200), < 11 => random.Next(200, 20_000), _ => random.Next(20_000, 200_000) };
        bool isPlain = random.Next(3) > 0;
        bool closes = random.Next(20) == 0;
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"{method} /{token} HTTP/1.1\r\nHost: a\r\nX-Request-ID: {token}\r\n");
        text.Append(isPlain ? PlainKind : OtherKinds[random.Next(OtherKinds.Length)]);
        if (closes)
        {
            text.Append("Connection: close\r\n");
        }

        if (random.Next(3) == 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"x-request-timeout-seconds: {random.Next(1, 100) / 100.0}\r\n");
        }

        if (method is "PUT" or "POST")
        {
            int body = random.Next(3) switch { 0 => 0, 1 => random.Next(1, 100), _ => random.Next(100, isPlain ? 20_000 : 50_000) };
            if (isPlain || random.Next(2) == 0)
            {
                text.Append(CultureInfo.InvariantCulture, $"Content-Length: {body}\r\n\r\n{BodyOf(token, body)}");
            }
            else
            {
                text.Append("Transfer-Encoding: chunked\r\n\r\n");
                text.Append(body == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"{body:x}\r\n{BodyOf(token, body)}\r\n")).Append("0\r\n\r\n");
            }
        }
        else
        {
            text.Append("\r\n");
        }

        return new() { Token = token, Method = method, IsPlain = isPlain, Deed = deed, Length = length, Text = text.ToString(), Closes = closes };
    }

    /// <summary>A body that nobody else's is the beginning of.</summary>
    public static string BodyOf(string token, int length) => string.Create(length, token, static (body, token) =>
    {
        for (int i = 0; i < body.Length; i++)
        {
            body[i] = token[i % token.Length];
        }
    });

    public override string ToString() => $"{Token} ({Text[..Text.IndexOf("\r\n\r\n", StringComparison.Ordinal)].ReplaceLineEndings("|")}, to be answered {Deed} with {Length}, run {Runs} times)";

    /// <summary>A worker has got it.</summary>
    /// <returns>How often by now.</returns>
    public int Run() => Interlocked.Increment(ref _runs);
}
