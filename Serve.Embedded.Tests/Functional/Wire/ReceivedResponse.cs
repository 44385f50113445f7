using System.Globalization;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>A response as a client got it.</summary>
internal sealed record ReceivedResponse(int Status, string Head, string Body)
{
    /// <summary>A header by which a worker says that it has left out the body, as the answer to a HEAD must.</summary>
    public const string BodyLeftOut = "X-Body-Left-Out";

    public string? Mark => Header("X-Mark");

    /// <summary>Takes apart what came on one connection, to its end.</summary>
    /// <param name="text">All that came.</param>
    public static List<ReceivedResponse> All(string text)
    {
        List<ReceivedResponse> responses = [];
        while (text.Length > 0)
        {
            int end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
            Assert.True(end >= 0 && text.StartsWith("HTTP/1.1 ", StringComparison.Ordinal), $"This is no response: {text}");
            ReceivedResponse head = new(int.Parse(text.AsSpan(9, 3), CultureInfo.InvariantCulture), text[..end], "");
            text = text[(end + 4)..];
            // A refused HEAD has no body either.
            bool isLeftOut = head.Header(BodyLeftOut) is not null || (head.Status >= 400 && (text.Length == 0 || text.StartsWith("HTTP/1.1 ", StringComparison.Ordinal)));
            int length = head.Status < 200 || isLeftOut ? 0 : int.Parse(head.Header("Content-Length") ?? "0", CultureInfo.InvariantCulture);
            Assert.True(length <= text.Length, $"A response is cut off: {head.Head}\n{text}");
            responses.Add(head with { Body = text[..length] });
            text = text[length..];
        }

        return responses;
    }

    public string? Header(string name) => Head.Split("\r\n").Skip(1)
        .Where(l => l.StartsWith($"{name}: ", StringComparison.OrdinalIgnoreCase))
        .Select(l => l[(name.Length + 2)..])
        .FirstOrDefault();
}
