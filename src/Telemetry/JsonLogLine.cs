using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// The JSON form: one object per line, with the contract's keys first and then the message's own values under the
/// snake-case form of their names. A key is written once; the contract's win.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "The writer holds nothing but the line's own buffer.")]
internal sealed class JsonLogLine(LineBuffer line)
{
    private const int MaxExtraFields = 32;
    private const int MaxExtraChars = 8 * 1024;

    /// <summary>
    /// What a line that came out too long keeps of its message and of its stack trace, and of each name: whatever the
    /// characters, six bytes each, the line then fits.
    /// </summary>
    private const int ShortTextChars = 3 * 1024;
    private const int ShortNameChars = 512;

    private static readonly JsonEncodedText LevelName = JsonEncodedText.Encode("levelname");
    private static readonly JsonEncodedText AscTime = JsonEncodedText.Encode("asctime");
    private static readonly JsonEncodedText Message = JsonEncodedText.Encode("message");
    private static readonly JsonEncodedText ComponentName = JsonEncodedText.Encode("component_name");
    private static readonly JsonEncodedText ComponentId = JsonEncodedText.Encode("component_id");
    private static readonly JsonEncodedText RequestId = JsonEncodedText.Encode("request_id");
    private static readonly JsonEncodedText Application = JsonEncodedText.Encode("application");
    private static readonly JsonEncodedText Deployment = JsonEncodedText.Encode("deployment");
    private static readonly JsonEncodedText Replica = JsonEncodedText.Encode("replica");
    private static readonly JsonEncodedText Route = JsonEncodedText.Encode("route");
    private static readonly JsonEncodedText Method = JsonEncodedText.Encode("method");
    private static readonly JsonEncodedText StatusCode = JsonEncodedText.Encode("status_code");
    private static readonly JsonEncodedText LatencyMs = JsonEncodedText.Encode("latency_ms");
    private static readonly JsonEncodedText ExcText = JsonEncodedText.Encode("exc_text");
    private static readonly JsonEncodedText Truncated = JsonEncodedText.Encode("truncated");

    // Readable beyond ASCII; control characters and line ends are escaped by this encoder too.
    private readonly Utf8JsonWriter _json = new(line, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
    private readonly HashSet<string> _extraKeys = [];
    private readonly LineBuffer _accessMessage = new();

    public void Write(in LogHead head, string message, Exception? exception, IReadOnlyList<KeyValuePair<string, object?>>? fields)
    {
        string? trace = exception?.ToString();
        bool fits = false;
        if (message.Length + (trace?.Length ?? 0) < LineBuffer.MaxLineBytes)
        {
            Begin(head, int.MaxValue);
            _json.WriteString(Message, message);
            WriteExtraFields(head.Scope, fields);
            if (trace is not null)
            {
                _json.WriteString(ExcText, trace);
            }

            fits = End();
        }

        if (!fits)
        {
            WriteShort(head, message, trace);
        }

        line.Append("\n"u8);
    }

    public void Write(in LogHead head, in AccessLogEntry entry)
    {
        Begin(head, ShortNameChars);
        TextLogLine.AppendMessage(_accessMessage, entry, ShortNameChars);
        _json.WriteString(Message, _accessMessage.Written);
        _accessMessage.Clear();
        _json.WriteString(Method, LineBuffer.Cap(entry.Method, ShortNameChars));
        _json.WriteNumber(StatusCode, entry.StatusCode);
        _json.WriteNumber(LatencyMs, entry.LatencyTenths / 10.0);
        End();
        line.Append("\n"u8);
    }

    private void WriteShort(in LogHead head, string message, string? trace)
    {
        line.Clear();
        Begin(head, ShortNameChars);
        _json.WriteString(Message, LineBuffer.Cap(message, ShortTextChars));
        if (trace is not null)
        {
            _json.WriteString(ExcText, LineBuffer.Cap(trace, ShortTextChars));
        }

        _json.WriteBoolean(Truncated, true);
        End();
    }

    private void Begin(in LogHead head, int maxNameChars)
    {
        line.Append(head.LineStart);
        _json.Reset(line);
        _json.WriteStartObject();
        _json.WriteString(LevelName, head.LevelName);
        Span<byte> time = stackalloc byte[LogTime.Length];
        LogTime.Format(head.Time, time);
        _json.WriteString(AscTime, time);
        _json.WriteString(ComponentName, head.ComponentName);
        _json.WriteString(ComponentId, LineBuffer.Cap(head.ComponentId, maxNameChars));
        if (head.Scope is not { } scope)
        {
            return;
        }

        WriteName(RequestId, scope.RequestId, maxNameChars);
        WriteName(Application, scope.Application, maxNameChars);
        if (scope.Deployment is { } deployment)
        {
            WriteDeployment(scope.Application, deployment, maxNameChars);
        }

        WriteName(Replica, scope.Replica, maxNameChars);
        WriteName(Route, scope.Route, maxNameChars);
    }

    private bool End()
    {
        _json.WriteEndObject();
        _json.Flush();
        return line.Length < LineBuffer.MaxLineBytes;
    }

    private void WriteName(JsonEncodedText key, string? value, int maxChars)
    {
        if (value is not null)
        {
            _json.WriteString(key, LineBuffer.Cap(value, maxChars));
        }
    }

    private void WriteDeployment(string? application, string deployment, int maxChars)
    {
        _json.WritePropertyName(Deployment);
        if (application is not null)
        {
            _json.WriteStringValueSegment(LineBuffer.Cap(application, maxChars), isFinalSegment: false);
            _json.WriteStringValueSegment("_", isFinalSegment: false);
        }

        _json.WriteStringValueSegment(LineBuffer.Cap(deployment, maxChars), isFinalSegment: true);
    }

    private void WriteExtraFields(RequestScope? scope, IReadOnlyList<KeyValuePair<string, object?>>? fields)
    {
        if (fields is null)
        {
            return;
        }

        TakeContractKeys(scope);
        string? application = scope?.Application;
        string? deployment = null;
        int count = Math.Min(fields.Count, MaxExtraFields);
        for (int i = 0; i < count; i++)
        {
            (string name, object? value) = fields[i];
            string key = JsonNamingPolicy.SnakeCaseLower.ConvertName(name);
            if (name == "{OriginalFormat}" || key.Length > ShortNameChars || !_extraKeys.Add(key))
            {
                continue;
            }

            // A message about a deployment, from outside any request: under the same key and in the same form as from inside.
            if (key == "deployment" && value is string named)
            {
                deployment = named;
                continue;
            }

            if (key == "application")
            {
                application = value as string;
            }

            WriteValue(key, value);
        }

        if (deployment is not null)
        {
            WriteDeployment(application, deployment, MaxExtraChars);
        }
    }

    private void TakeContractKeys(RequestScope? scope)
    {
        _extraKeys.Clear();
        _extraKeys.UnionWith(["levelname", "asctime", "message", "component_name", "component_id", "exc_text"]);
        TakeIf(scope?.RequestId, "request_id");
        TakeIf(scope?.Application, "application");
        TakeIf(scope?.Deployment, "deployment");
        TakeIf(scope?.Replica, "replica");
        TakeIf(scope?.Route, "route");

        void TakeIf(string? written, string key)
        {
            if (written is not null)
            {
                _extraKeys.Add(key);
            }
        }
    }

    private void WriteValue(string key, object? value)
    {
        switch (value)
        {
            case null:
                _json.WriteNull(key);
                break;
            case string text:
                _json.WriteString(key, LineBuffer.Cap(text, MaxExtraChars));
                break;
            case bool flag:
                _json.WriteBoolean(key, flag);
                break;
            case int or long or short or byte or sbyte or ushort or uint:
                _json.WriteNumber(key, Convert.ToInt64(value, CultureInfo.InvariantCulture));
                break;
            case ulong number:
                _json.WriteNumber(key, number);
                break;
            case double number when double.IsFinite(number):
                _json.WriteNumber(key, number);
                break;
            case float number when float.IsFinite(number):
                _json.WriteNumber(key, number);
                break;
            case decimal number:
                _json.WriteNumber(key, number);
                break;
            default:
                string? formatted = value is IFormattable formattable ? formattable.ToString(null, CultureInfo.InvariantCulture) : value.ToString();
                _json.WriteString(key, LineBuffer.Cap(formatted ?? "", MaxExtraChars));
                break;
        }
    }
}
