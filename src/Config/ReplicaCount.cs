namespace Serve.Embedded.Config;

/// <summary>What <c>num_replicas</c> says: a number, or that the load shall decide.</summary>
internal readonly record struct ReplicaCount
{
    public static readonly ReplicaCount Auto;

    /// <summary><see langword="null"/> = <see cref="Auto"/>.</summary>
    public int? Fixed { get; private init; }

    public bool IsAuto => Fixed is null;

    public static implicit operator ReplicaCount(int replicas) => new() { Fixed = replicas };
}

/// <summary>A number of replicas in a range, or <c>"auto"</c>.</summary>
internal sealed class ReplicaCountType(int min, int max) : ConfigType<ReplicaCount>
{
    private const string Word = "auto";

    private readonly IntegerType<int> _number = new(min, max);

    public override string Expected => $"{_number.Expected}, or \"{Word}\"";

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out ReplicaCount value)
    {
        value = ReplicaCount.Auto;
        if (node.Kind == ConfigNodeKind.String)
        {
            return Word.Equals(node.Text, StringComparison.OrdinalIgnoreCase) || Refuse(key, node, errors, ClosestName.Hint(node.Text, [Word]));
        }

        if (node.Kind != ConfigNodeKind.Integer || node.Integer < min || node.Integer > max)
        {
            return Refuse(key, node, errors);
        }

        value = (int)node.Integer;
        return true;
    }

    public override ConfigNode? ToNode(ReplicaCount value) => value.Fixed is int replicas ? _number.ToNode(replicas) : ConfigNode.Of(Word);
}
