using System.Text;
using System.Text.Json;

namespace Serve.Embedded.Config;

/// <summary>
/// JSON text (UTF-8) to <see cref="ConfigNode"/>, so that what arrives over REST is judged by the same keys as a file.
/// Columns count bytes. JSON cannot be picked up again after a syntax error, so there is at most one of those.
/// </summary>
internal ref struct JsonConfigReader
{
    private static readonly JsonReaderOptions Options = new() { MaxDepth = ConfigNode.MaxDepth };

    private readonly ReadOnlySpan<byte> _text;
    private readonly ConfigErrors _errors;
    private Utf8JsonReader _reader;
    private int _line = 1;
    private int _lineStart;
    private int _counted;

    private JsonConfigReader(ReadOnlySpan<byte> text, ConfigErrors errors)
    {
        _text = text;
        _errors = errors;
        _reader = new Utf8JsonReader(text, Options);
    }

    public static ConfigNode? Read(ReadOnlySpan<byte> utf8, ConfigErrors errors)
    {
        JsonConfigReader reader = new(utf8, errors);
        try
        {
            reader._reader.Read();
            ConfigNode root = reader.Value();

            // Anything but white space after the value makes this throw.
            reader._reader.Read();
            return root;
        }
        catch (JsonException bad)
        {
            TextPlace place = new((int)(bad.LineNumber ?? 0) + 1, (int)(bad.BytePositionInLine ?? 0) + 1);
            errors.Add(place, $"not JSON: {Sentence(bad.Message)}");
        }
        catch (InvalidOperationException)
        {
            // GetString on an escaped half of a surrogate pair.
            errors.Add(reader.Place(), "not JSON: the string holds half of a surrogate pair");
        }

        return null;
    }

    public static ConfigNode? Read(string json, ConfigErrors errors) => Read(Encoding.UTF8.GetBytes(json), errors);

    // System.Text.Json repeats the position, which we have already, after its first sentence.
    private static string Sentence(string message)
    {
        int end = message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        return end < 0 ? message : message[..end];
    }

    private TextPlace Place()
    {
        int start = (int)_reader.TokenStartIndex;
        for (; _counted < start; _counted++)
        {
            if (_text[_counted] == (byte)'\n')
            {
                _line++;
                _lineStart = _counted + 1;
            }
        }

        return new TextPlace(_line, start - _lineStart + 1);
    }

    private ConfigNode Value()
    {
        TextPlace place = Place();
        return _reader.TokenType switch
        {
            JsonTokenType.StartObject => Table(place),
            JsonTokenType.StartArray => Array(place),
            JsonTokenType.String => ConfigNode.Of(_reader.GetString()!, place),
            JsonTokenType.Number => Number(place),
            JsonTokenType.True => ConfigNode.Of(true, place),
            JsonTokenType.False => ConfigNode.Of(false, place),
            _ => ConfigNode.Null(place),
        };
    }

    private ConfigNode Table(TextPlace place)
    {
        ConfigNode table = ConfigNode.Table(place);
        while (_reader.Read() && _reader.TokenType == JsonTokenType.PropertyName)
        {
            TextPlace keyPlace = Place();
            string key = _reader.GetString()!;
            _reader.Read();
            ConfigNode value = Value();
            if (table.Members.TryGetValue(key, out ConfigMember first))
            {
                _errors.Add(keyPlace, $"{TomlText.Key(key)} is written twice; the first is on line {first.KeyPlace.Line}");
            }
            else
            {
                table.Members.Add(key, new ConfigMember(keyPlace, value));
            }
        }

        return table;
    }

    private ConfigNode Array(TextPlace place)
    {
        ConfigNode array = ConfigNode.Array(place);
        while (_reader.Read() && _reader.TokenType != JsonTokenType.EndArray)
        {
            array.Items.Add(Value());
        }

        return array;
    }

    private ConfigNode Number(TextPlace place)
    {
        if (!_reader.ValueSpan.ContainsAny((byte)'.', (byte)'e', (byte)'E'))
        {
            if (_reader.TryGetInt64(out long integer))
            {
                return ConfigNode.Of(integer, place);
            }

            _errors.Add(place, $"{Encoding.UTF8.GetString(_reader.ValueSpan[..Math.Min(40, _reader.ValueSpan.Length)])} does not fit into 64 bits");
        }

        return ConfigNode.Of(_reader.GetDouble(), place);
    }
}
