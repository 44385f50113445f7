using System.Buffers;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What may stand in a header (RFC 9110, 5.1 and 5.5).</summary>
internal static class HeaderText
{
    private const string Token = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    private static readonly SearchValues<char> TokenChars = SearchValues.Create(Token);
    private static readonly SearchValues<byte> TokenBytes = SearchValues.Create(Token.Select(c => (byte)c).ToArray());

    private static readonly SearchValues<char> NotInValueChars = SearchValues.Create([.. Enumerable.Range(0, 0x20).Where(c => c != '\t').Append(0x7F).Select(c => (char)c)]);
    private static readonly SearchValues<byte> NotInLines = SearchValues.Create([.. Enumerable.Range(0, 0x20).Where(c => c is not ('\t' or '\r' or '\n')).Append(0x7F).Select(c => (byte)c)]);
    private static readonly SearchValues<byte> NotInValueBytes = SearchValues.Create([.. Enumerable.Range(0, 0x20).Where(c => c != '\t').Append(0x7F).Select(c => (byte)c)]);

    /// <summary>Whether lines hold nothing but what may stand in headers.</summary>
    public static bool IsText(ReadOnlySpan<byte> lines) => !lines.ContainsAny(NotInLines);

    public static bool IsName(ReadOnlySpan<char> name) => !name.IsEmpty && !name.ContainsAnyExcept(TokenChars);

    /// <summary>The length of the name with which a header's line begins; 0 = it does not begin with one and a colon.</summary>
    public static int NameLength(ReadOnlySpan<byte> line)
    {
        int end = line.IndexOfAnyExcept(TokenBytes);
        return end > 0 && line[end] == ':' ? end : 0;
    }

    public static bool IsValue(ReadOnlySpan<char> value) => !value.ContainsAny(NotInValueChars);

    public static bool IsValue(ReadOnlySpan<byte> value) => !value.ContainsAny(NotInValueBytes);
}
