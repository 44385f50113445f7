using System.Buffers;
using System.Text;
using System.Text.Json;
using Serve.Embedded.Config;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What files of Python declare, as it is kept with a goal state: a way back goes to the options of then, whatever the files say now.</summary>
internal static class PythonCodeText
{
    /// <summary><see langword="null"/> = there are none.</summary>
    public static string? Write(IReadOnlyDictionary<PythonSource, PythonCode> code)
    {
        if (code.Count == 0)
        {
            return null;
        }

        ArrayBufferWriter<byte> text = new();
        using (Utf8JsonWriter json = new(text))
        {
            json.WriteStartObject();
            foreach ((PythonSource source, PythonCode declared) in code.OrderBy(c => Key(c.Key), StringComparer.Ordinal))
            {
                json.WriteStartObject(Key(source));
                json.WriteString("name", declared.Deployment.Name);
                json.WritePropertyName("options");
                json.WriteRawValue(DeploymentKeys.WriteDeclared(declared.Deployment));
                json.WriteBoolean("takes_user_config", declared.TakesUserConfig);
                json.WriteString("fingerprint", declared.Fingerprint);
                json.WriteString("error", declared.Error);
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    /// <summary>What was declared then by these; <see langword="null"/> = not all of them are in it.</summary>
    public static IReadOnlyDictionary<PythonSource, PythonCode>? Read(string? text, IReadOnlyCollection<PythonSource> sources)
    {
        if (text is null)
        {
            return sources.Count == 0 ? new Dictionary<PythonSource, PythonCode>() : null;
        }

        Dictionary<PythonSource, PythonCode> code = [];
        using JsonDocument document = JsonDocument.Parse(text);
        foreach (PythonSource source in sources)
        {
            ConfigErrors errors = new("a generation");
            if (!document.RootElement.TryGetProperty(Key(source), out JsonElement kept)
                || DeploymentKeys.ReadDeclared(kept.GetProperty("name").GetString()!, kept.GetProperty("options").GetRawText(), errors) is not { } deployment
                || errors.ToList().Count > 0)
            {
                return null;
            }

            code[source] = new(deployment, kept.GetProperty("takes_user_config").GetBoolean(), kept.GetProperty("fingerprint").GetString(), kept.GetProperty("error").GetString());
        }

        return code;
    }

    private static string Key(PythonSource source) => $"{source.WorkingDirectory}:{source.Name}:{source.Python}";
}
