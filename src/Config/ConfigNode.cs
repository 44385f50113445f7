using System.Globalization;

namespace Serve.Embedded.Config;

/// <summary>What a value in a configuration text can be, whichever language it was written in.</summary>
internal enum ConfigNodeKind
{
    /// <summary>JSON only; means the same as leaving the key out.</summary>
    Null,
    Table,
    Array,
    String,
    Integer,
    Float,
    Boolean,

    /// <summary>TOML only; its text is RFC 3339.</summary>
    DateTime,
}

/// <summary>One key of a table: where the key was written, and its value.</summary>
internal readonly record struct ConfigMember(TextPlace KeyPlace, ConfigNode Value);

/// <summary>
/// A configuration text as a tree that remembers places. TOML and JSON both become this, so that one table of keys
/// (<see cref="ConfigKeys"/>) judges both.
/// </summary>
internal sealed class ConfigNode
{
    /// <summary>Deeper trees are refused: whoever walks a tree may recurse.</summary>
    public const int MaxDepth = 64;

    private static readonly OrderedDictionary<string, ConfigMember> NoMembers = [];
    private static readonly List<ConfigNode> NoItems = [];

    private ConfigNode(ConfigNodeKind kind, TextPlace place)
    {
        Kind = kind;
        Place = place;
    }

    public ConfigNodeKind Kind { get; }

    /// <summary>Where the value begins; for a TOML table with a header, the header.</summary>
    public TextPlace Place { get; }

    /// <summary>The keys of a <see cref="ConfigNodeKind.Table"/> in the order written.</summary>
    public OrderedDictionary<string, ConfigMember> Members { get; private init; } = NoMembers;

    /// <summary>The elements of an <see cref="ConfigNodeKind.Array"/>.</summary>
    public List<ConfigNode> Items { get; private init; } = NoItems;

    /// <summary>The content of a <see cref="ConfigNodeKind.String"/>, or a date and time in RFC 3339.</summary>
    public string Text { get; private init; } = "";

    public long Integer { get; private init; }

    public double Float { get; private init; }

    public bool Boolean { get; private init; }

    public static ConfigNode Null(TextPlace place = default) => new(ConfigNodeKind.Null, place);

    public static ConfigNode Table(TextPlace place = default) =>
        new(ConfigNodeKind.Table, place) { Members = new OrderedDictionary<string, ConfigMember>(StringComparer.Ordinal) };

    public static ConfigNode Array(TextPlace place = default) => new(ConfigNodeKind.Array, place) { Items = [] };

    public static ConfigNode Of(string value, TextPlace place = default) => new(ConfigNodeKind.String, place) { Text = value };

    public static ConfigNode Of(long value, TextPlace place = default) => new(ConfigNodeKind.Integer, place) { Integer = value };

    public static ConfigNode Of(double value, TextPlace place = default) => new(ConfigNodeKind.Float, place) { Float = value };

    public static ConfigNode Of(bool value, TextPlace place = default) => new(ConfigNodeKind.Boolean, place) { Boolean = value };

    public static ConfigNode DateTime(string rfc3339, TextPlace place = default) => new(ConfigNodeKind.DateTime, place) { Text = rfc3339 };

    /// <summary>The value of a key, or <see langword="null"/> where this is no table, or the key is not written or is null.</summary>
    public ConfigNode? Find(string key) =>
        Members.TryGetValue(key, out ConfigMember member) && member.Value.Kind != ConfigNodeKind.Null ? member.Value : null;

    /// <summary>A float as both TOML and JSON read it: never mistaken for an integer, and read back to the same bits.</summary>
    public static string FloatText(double value)
    {
        if (!double.IsFinite(value))
        {
            return double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        }

        string text = value.ToString("R", CultureInfo.InvariantCulture);
        return text.AsSpan().ContainsAny('.', 'E') ? text : text + ".0";
    }
}
