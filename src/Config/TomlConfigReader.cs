using Tomlyn;
using Tomlyn.Parsing;
using Tomlyn.Syntax;

namespace Serve.Embedded.Config;

/// <summary>
/// TOML text to <see cref="ConfigNode"/>. Tomlyn finds the tokens and every syntax error; the rules about what may be
/// defined twice are kept here, because here the place of the first definition is at hand and the work stays linear.
/// </summary>
internal sealed class TomlConfigReader
{
    public static readonly TomlSerializerOptions Options = new() { MaxDepth = ConfigNode.MaxDepth };

    private readonly Dictionary<ConfigNode, TableOrigin> _origins = [];
    private readonly ConfigErrors _errors;

    private TomlConfigReader(ConfigErrors errors)
    {
        _errors = errors;
    }

    /// <summary>How a table came to be decides what may be added to it.</summary>
    private enum TableOrigin
    {
        /// <summary>Named on the way to another table's header: may still get its own.</summary>
        OnTheWay,
        Header,
        DottedKey,
        InlineOrStatic,
        ArrayOfTables,
    }

    /// <summary>The tree, or <see langword="null"/> where the text is not TOML. Errors are added in either case.</summary>
    public static ConfigNode? Read(string text, ConfigErrors errors)
    {
        DocumentSyntax document;
        try
        {
            if (!TomlBounds.Allow(text, errors))
            {
                return null;
            }

            document = SyntaxParser.Parse(text, Options, validate: false);
        }
        catch (TomlException)
        {
            // The only thing without a place that either of them throws for.
            errors.Add(TomlDepth.FindTooDeep(text), $"lists and tables are nested more than {ConfigNode.MaxDepth} deep");
            return null;
        }

        return document.HasErrors ? AddSyntaxErrors(document, errors) : new TomlConfigReader(errors).ReadDocument(document);
    }

    private static ConfigNode? AddSyntaxErrors(DocumentSyntax document, ConfigErrors errors)
    {
        // What follows on the same line is nearly always an echo of the first error there.
        int line = -1;
        foreach (DiagnosticMessage diagnostic in document.Diagnostics.OrderBy(d => (d.Span.Start.Line, d.Span.Start.Column)))
        {
            if (diagnostic.Span.Start.Line != line)
            {
                line = diagnostic.Span.Start.Line;
                string message = diagnostic.Message;
                errors.Add(Place(diagnostic.Span), $"not TOML: {char.ToLowerInvariant(message[0])}{message.AsSpan(1)}");
            }
        }

        return null;
    }

    private static TextPlace Place(SourceSpan span) => new(span.Start.Line + 1, span.Start.Column + 1);

    private static string Name(BareKeyOrStringValueSyntax? key) => key switch
    {
        BareKeySyntax bare => bare.Key?.Text ?? "",
        StringValueSyntax quoted => quoted.Value ?? "",
        _ => "",
    };

    private static List<(string Name, TextPlace Place)> Path(KeySyntax key)
    {
        List<(string Name, TextPlace Place)> path = [(Name(key.Key), Place(key.Key!.Span))];
        foreach (DottedKeyItemSyntax dotted in key.DotKeys)
        {
            path.Add((Name(dotted.Key), Place(dotted.Key!.Span)));
        }

        return path;
    }

    private ConfigNode ReadDocument(DocumentSyntax document)
    {
        ConfigNode root = ConfigNode.Table(new TextPlace(1, 1));
        _origins[root] = TableOrigin.Header;
        AddKeys(root, document.KeyValues, depth: 1);
        foreach (TableSyntaxBase header in document.Tables)
        {
            if (OpenTable(root, header) is ConfigNode table)
            {
                AddKeys(table, header.Items, header.Name!.DotKeys.ChildrenCount + 2);
            }
        }

        return root;
    }

    private ConfigNode? OpenTable(ConfigNode root, TableSyntaxBase header)
    {
        List<(string Name, TextPlace Place)> path = Path(header.Name!);
        TextPlace place = Place(header.OpenBracket!.Span);
        if (path.Count >= ConfigNode.MaxDepth)
        {
            _errors.Add(place, $"tables are nested more than {ConfigNode.MaxDepth} deep");
            return null;
        }

        ConfigNode table = root;
        foreach ((string name, TextPlace keyPlace) in path.SkipLast(1))
        {
            if (StepInto(table, name, keyPlace, place) is not ConfigNode next)
            {
                return null;
            }

            table = next;
        }

        (string last, TextPlace lastPlace) = path[^1];
        return header is TableArraySyntax ? OpenElement(table, last, lastPlace, place) : OpenNamed(table, last, lastPlace, place);
    }

    private ConfigNode? StepInto(ConfigNode table, string name, TextPlace keyPlace, TextPlace headerPlace)
    {
        if (!table.Members.TryGetValue(name, out ConfigMember member))
        {
            return AddTable(table, name, keyPlace, headerPlace, TableOrigin.OnTheWay);
        }

        switch (_origins.GetValueOrDefault(member.Value, TableOrigin.InlineOrStatic))
        {
            case TableOrigin.ArrayOfTables:
                return member.Value.Items[^1];
            case TableOrigin.InlineOrStatic:
                AddTwice(name, keyPlace, member);
                return null;
            default:
                return member.Value;
        }
    }

    private ConfigNode? OpenNamed(ConfigNode table, string name, TextPlace keyPlace, TextPlace headerPlace)
    {
        if (!table.Members.TryGetValue(name, out ConfigMember member))
        {
            return AddTable(table, name, keyPlace, headerPlace, TableOrigin.Header);
        }

        if (_origins.GetValueOrDefault(member.Value, TableOrigin.InlineOrStatic) == TableOrigin.OnTheWay)
        {
            _origins[member.Value] = TableOrigin.Header;
            return member.Value;
        }

        AddTwice(name, keyPlace, member);
        return null;
    }

    private ConfigNode? OpenElement(ConfigNode table, string name, TextPlace keyPlace, TextPlace headerPlace)
    {
        ConfigNode array;
        if (!table.Members.TryGetValue(name, out ConfigMember member))
        {
            array = ConfigNode.Array(headerPlace);
            _origins[array] = TableOrigin.ArrayOfTables;
            table.Members.Add(name, new ConfigMember(keyPlace, array));
        }
        else if (_origins.GetValueOrDefault(member.Value, TableOrigin.InlineOrStatic) == TableOrigin.ArrayOfTables)
        {
            array = member.Value;
        }
        else
        {
            AddTwice(name, keyPlace, member);
            return null;
        }

        ConfigNode element = ConfigNode.Table(headerPlace);
        _origins[element] = TableOrigin.Header;
        array.Items.Add(element);
        return element;
    }

    private ConfigNode AddTable(ConfigNode parent, string name, TextPlace keyPlace, TextPlace place, TableOrigin origin)
    {
        ConfigNode table = ConfigNode.Table(place);
        _origins[table] = origin;
        parent.Members.Add(name, new ConfigMember(keyPlace, table));
        return table;
    }

    private void AddKeys(ConfigNode table, SyntaxList<KeyValueSyntax> keyValues, int depth)
    {
        foreach (KeyValueSyntax keyValue in keyValues)
        {
            AddKey(table, keyValue, depth);
        }
    }

    private void AddKey(ConfigNode table, KeyValueSyntax keyValue, int depth)
    {
        List<(string Name, TextPlace Place)> path = Path(keyValue.Key!);
        if (path.Count + depth > ConfigNode.MaxDepth)
        {
            _errors.Add(path[0].Place, $"tables are nested more than {ConfigNode.MaxDepth} deep");
            return;
        }

        foreach ((string name, TextPlace place) in path.SkipLast(1))
        {
            if (!table.Members.TryGetValue(name, out ConfigMember member))
            {
                table = AddTable(table, name, place, place, TableOrigin.DottedKey);
            }
            else if (_origins.GetValueOrDefault(member.Value, TableOrigin.InlineOrStatic) == TableOrigin.DottedKey)
            {
                table = member.Value;
            }
            else
            {
                AddTwice(name, place, member);
                return;
            }
        }

        (string last, TextPlace lastPlace) = path[^1];
        if (table.Members.TryGetValue(last, out ConfigMember first))
        {
            AddTwice(last, lastPlace, first);
            return;
        }

        table.Members.Add(last, new ConfigMember(lastPlace, Value(keyValue.Value!, depth + path.Count)));
    }

    private ConfigNode Value(ValueSyntax value, int depth)
    {
        TextPlace place = Place(value.Span);
        switch (value)
        {
            case StringValueSyntax text:
                return ConfigNode.Of(text.Value ?? "", place);
            case IntegerValueSyntax integer:
                return ConfigNode.Of(integer.Value, place);
            case FloatValueSyntax number:
                return ConfigNode.Of(number.Value, place);
            case BooleanValueSyntax boolean:
                return ConfigNode.Of(boolean.Value, place);
            case DateTimeValueSyntax time:
                return ConfigNode.DateTime(time.Value.ToString(), place);
            case ArraySyntax array:
                ConfigNode list = ConfigNode.Array(place);
                foreach (ArrayItemSyntax item in array.Items)
                {
                    list.Items.Add(Value(item.Value!, depth + 1));
                }

                return list;
            case InlineTableSyntax inline:
                ConfigNode table = ConfigNode.Table(place);
                foreach (InlineTableItemSyntax item in inline.Items)
                {
                    AddKey(table, item.KeyValue!, depth + 1);
                }

                Seal(table);
                return table;
            default:
                throw new InvalidOperationException($"TOML has no value of the kind {value.Kind}.");
        }
    }

    // Once its brace is closed nothing may be added to an inline table, nor to what dotted keys made in it.
    private void Seal(ConfigNode table)
    {
        foreach (ConfigMember member in table.Members.Values)
        {
            if (_origins.Remove(member.Value))
            {
                Seal(member.Value);
            }
        }
    }

    private void AddTwice(string name, TextPlace place, ConfigMember first) =>
        _errors.Add(place, $"{TomlText.Key(name)} is written twice; the first is on line {first.KeyPlace.Line}");
}
