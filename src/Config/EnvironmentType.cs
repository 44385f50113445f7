namespace Serve.Embedded.Config;

/// <summary>Variables of a process's environment, written as a table of texts.</summary>
internal sealed class EnvironmentType : ConfigType<EquatableList<EnvironmentVariable>>
{
    private const int MaxVariables = 1_000;

    private static readonly TextType Value = new("a text", TextRules.Argument);

    public override string Expected => $"a table of at most {MaxVariables} texts";

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out EquatableList<EnvironmentVariable> value)
    {
        value = [];
        if (node.Kind != ConfigNodeKind.Table || node.Members.Count > MaxVariables)
        {
            return Refuse(key, node, errors);
        }

        List<EnvironmentVariable> variables = [];
        foreach ((string name, ConfigMember member) in node.Members)
        {
            if (TextRules.Variable(name) is string wrong)
            {
                errors.Add(member.KeyPlace, $"{key} must not have a variable {TomlText.Quote(name)}: {wrong}");
            }
            else if (Value.TryRead($"{key}.{name}", member.Value, errors, out string text))
            {
                variables.Add(new(name, text));
            }
        }

        value = new([.. variables]);
        return variables.Count == node.Members.Count;
    }

    public override ConfigNode? ToNode(EquatableList<EnvironmentVariable> value)
    {
        if (value.Count == 0)
        {
            return null;
        }

        ConfigNode table = ConfigNode.Table();
        foreach (EnvironmentVariable variable in value)
        {
            table.Members.Add(variable.Name, new(default, ConfigNode.Of(variable.Value)));
        }

        return table;
    }
}
