using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Encodings.Web;
using System.Text.Json;
using Serve.Embedded.Config;

namespace Serve.Embedded.Controller.Generations;

/// <summary>
/// A generation as the bytes of its file: JSON with a checksum, so that a flipped bit or an edit is noticed and not served. The configuration is in it as a string, word for word, and
/// <c>jq -r .generation.config</c> gives it back.
/// </summary>
internal static class GenerationText
{
    /// <summary>A file of another format is another version's of this program, and is left to it.</summary>
    public const int Format = 1;

    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, Indented = true, NewLine = "\n" };

    public static byte[] Write(Generation generation)
    {
        ArrayBufferWriter<byte> inner = new();
        using (Utf8JsonWriter json = new(inner, Options))
        {
            json.WriteStartObject();
            json.WriteNumber("number", generation.Number);
            json.WriteString("accepted_at", generation.AcceptedAt.UtcDateTime);
            json.WriteString("source", Word(generation.Source));
            WriteIfSet(json, "path", generation.Path);
            json.WriteString("outcome", Word(generation.Outcome));
            WriteIfSet(json, "reason", generation.Reason);
            if (generation.EndedAt is DateTimeOffset ended)
            {
                json.WriteString("ended_at", ended.UtcDateTime);
            }

            if (generation.RestoredFrom is int restored)
            {
                json.WriteNumber("restored_from", restored);
            }

            json.WriteString("config", generation.Config);
            WriteIfSet(json, "code", generation.Code);
            json.WriteEndObject();
        }

        ArrayBufferWriter<byte> outer = new(inner.WrittenCount + 128);
        using (Utf8JsonWriter json = new(outer, Options))
        {
            json.WriteStartObject();
            json.WriteNumber("format", Format);
            json.WriteString("checksum", Checksum.Of(inner.WrittenSpan));
            json.WritePropertyName("generation");
            json.WriteRawValue(inner.WrittenSpan);
            json.WriteEndObject();
        }

        return outer.WrittenSpan.ToArray();
    }

    /// <summary>The generation, or what is wrong with the bytes.</summary>
    public static bool TryRead(ReadOnlyMemory<byte> bytes, int number, [NotNullWhen(true)] out Generation? generation, [NotNullWhen(false)] out string? wrong, out bool otherFormat)
    {
        generation = null;
        otherFormat = false;
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes);
            JsonElement root = document.RootElement;
            int format = root.GetProperty("format").GetInt32();
            if (format != Format)
            {
                otherFormat = true;
                wrong = $"it has format {format}, and this version of serve knows format {Format}";
                return false;
            }

            JsonElement inner = root.GetProperty("generation");
            string checksum = Checksum.Of(System.Text.Encoding.UTF8.GetBytes(inner.GetRawText()));
            if (root.GetProperty("checksum").GetString() != checksum)
            {
                wrong = "its checksum does not match: it was damaged or edited";
                return false;
            }

            if (inner.GetProperty("number").GetInt32() is int written && written != number)
            {
                wrong = $"it is generation {written} under another name";
                return false;
            }

            generation = Read(inner);
            wrong = null;
            return true;
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            wrong = bytes.IsEmpty ? "it is empty" : $"it is not a generation: {exception.Message}";
            return false;
        }
    }

    /// <summary>As files and answers name it.</summary>
    public static string Word(GenerationSource source) => source switch
    {
        GenerationSource.File => "file",
        GenerationSource.Hangup => "SIGHUP",
        GenerationSource.Rest => "REST",
        _ => "code",
    };

    public static string Word(GenerationOutcome outcome) => outcome switch
    {
        GenerationOutcome.Good => "good",
        GenerationOutcome.Failed => "failed",
        GenerationOutcome.Superseded => "superseded",
        _ => "pending",
    };

    private static Generation Read(JsonElement inner) => new(
        inner.GetProperty("number").GetInt32(),
        inner.GetProperty("accepted_at").GetDateTimeOffset(),
        Parse<GenerationSource>(inner.GetProperty("source").GetString(), Word),
        Text(inner, "path"),
        inner.GetProperty("config").GetString() ?? throw new FormatException("it has no config."))
    {
        Outcome = Parse<GenerationOutcome>(inner.GetProperty("outcome").GetString(), Word),
        Reason = Text(inner, "reason"),
        Code = Text(inner, "code"),
        EndedAt = inner.TryGetProperty("ended_at", out JsonElement ended) ? ended.GetDateTimeOffset() : null,
        RestoredFrom = inner.TryGetProperty("restored_from", out JsonElement restored) ? restored.GetInt32() : null,
    };

    private static string? Text(JsonElement table, string name) => table.TryGetProperty(name, out JsonElement value) ? value.GetString() : null;

    private static T Parse<T>(string? word, Func<T, string> name)
        where T : struct, Enum
    {
        foreach (T value in Enum.GetValues<T>())
        {
            if (name(value) == word)
            {
                return value;
            }
        }

        throw new FormatException($"'{word}' is no {typeof(T).Name}.");
    }

    private static void WriteIfSet(Utf8JsonWriter json, string name, string? value)
    {
        if (value is not null)
        {
            json.WriteString(name, value);
        }
    }
}
