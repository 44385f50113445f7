using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Serve.Embedded.Config;

/// <summary>Writes values as JSON: the whole configuration for programs, and <c>user_config</c> in its canonical form.</summary>
internal static class JsonText
{
    // Nothing of ours is pasted into HTML, and an operator wants to read what was written.
    private static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonWriterOptions Indented = Compact with { Indented = true, NewLine = "\n" };

    /// <summary>Compact, with keys in the order written, and floats never mistaken for integers: equal values give equal text.</summary>
    public static string Canonical(ConfigNode node) => Write(node, Compact);

    public static string Readable(ConfigNode node) => Write(node, Indented);

    private static string Write(ConfigNode node, JsonWriterOptions options)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter writer = new(buffer, options))
        {
            Write(writer, node);
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void Write(Utf8JsonWriter writer, ConfigNode node)
    {
        switch (node.Kind)
        {
            case ConfigNodeKind.Table:
                writer.WriteStartObject();
                foreach ((string key, ConfigMember member) in node.Members)
                {
                    writer.WritePropertyName(key);
                    Write(writer, member.Value);
                }

                writer.WriteEndObject();
                break;
            case ConfigNodeKind.Array:
                writer.WriteStartArray();
                foreach (ConfigNode item in node.Items)
                {
                    Write(writer, item);
                }

                writer.WriteEndArray();
                break;
            case ConfigNodeKind.String or ConfigNodeKind.DateTime:
                writer.WriteStringValue(node.Text);
                break;
            case ConfigNodeKind.Integer:
                writer.WriteNumberValue(node.Integer);
                break;
            case ConfigNodeKind.Float:
                writer.WriteRawValue(ConfigNode.FloatText(node.Float));
                break;
            case ConfigNodeKind.Boolean:
                writer.WriteBooleanValue(node.Boolean);
                break;
            default:
                writer.WriteNullValue();
                break;
        }
    }
}
