using Tomlyn;
using Tomlyn.Serialization;

namespace Serve.Embedded.Config;

/// <summary>
/// Keeps a large text that is no configuration (a log, a dump, the wrong file) from costing gigabytes: Tomlyn's syntax tree
/// takes a hundred bytes or more for each byte of such a text, its token reader takes none. A reload must survive any file.
/// </summary>
internal static class TomlBounds
{
    /// <summary>Up to here the tree is affordable whatever the text is, and all syntax errors can be told at once.</summary>
    public const int SmallText = 256 * 1024;

    /// <summary>Ten thousand applications with five deployments each stay below.</summary>
    public const int MaxTokensAndLines = 1_000_000;

    /// <summary>Whether the tree may be made; if not, one error says why.</summary>
    public static bool Allow(string text, ConfigErrors errors)
    {
        if (text.Length <= SmallText)
        {
            return true;
        }

        int count = text.AsSpan().Count('\n');
        try
        {
            TomlReader reader = TomlReader.Create(text, TomlConfigReader.Options);
            while (count <= MaxTokensAndLines && reader.Read())
            {
                count++;
            }
        }
        catch (TomlException bad) when (!bad.Message.Contains("maximum depth", StringComparison.Ordinal))
        {
            // One error is enough for a text of this size. Too deep a nesting is left to the caller, who says where it is.
            errors.Add(new TextPlace(bad.Line ?? 0, bad.Column ?? 0), $"not TOML: {Reason(bad.Message)}");
            return false;
        }

        if (count > MaxTokensAndLines)
        {
            errors.Add(default, $"more than {MaxTokensAndLines} keys, values and lines, which no configuration has; is it the right one?");
            return false;
        }

        return true;
    }

    // Tomlyn puts the place in front of the reason.
    private static string Reason(string message)
    {
        const string Mark = "error : ";
        int mark = message.LastIndexOf(Mark, StringComparison.Ordinal);
        ReadOnlySpan<char> reason = mark < 0 ? message : message.AsSpan(mark + Mark.Length);
        return string.Concat([char.ToLowerInvariant(reason[0])], reason[1..]);
    }
}
