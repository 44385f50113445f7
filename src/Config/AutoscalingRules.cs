namespace Serve.Embedded.Config;

/// <summary>What must hold between the keys that say how many replicas a deployment has.</summary>
internal static class AutoscalingRules
{
    /// <summary>The most replicas of <c>num_replicas = "auto"</c> where nothing else is written.</summary>
    public const int MostAutoReplicas = 100;

    private static readonly AutoscalingConfig Unwritten = new();

    public static void Check(ConfigNode deployment, ConfigCatalog catalog, ConfigErrors errors)
    {
        if (deployment.Find("autoscaling_config") is not { Kind: ConfigNodeKind.Table } autoscaling)
        {
            return;
        }

        ConfigNode? count = deployment.Find("num_replicas");
        if (count?.Kind == ConfigNodeKind.Integer)
        {
            errors.Add(count.Place, "num_replicas is a number, and autoscaling_config lets the load decide: leave one of them out, or write num_replicas = \"auto\"");
        }

        CheckBounds(autoscaling, isAuto: count is not null, errors);
        if (autoscaling.Find("policy") is { Kind: ConfigNodeKind.String } policy && TextRules.Name(policy.Text) is null && !catalog.Policies.Contains(policy.Text))
        {
            errors.Add(policy.Place, $"unknown policy {TomlText.Quote(policy.Text)}.{ConfigRules.Known(policy.Text, catalog.Policies)}");
        }
    }

    private static void CheckBounds(ConfigNode autoscaling, bool isAuto, ConfigErrors errors)
    {
        ConfigNode? written = autoscaling.Find("max_replicas");
        if (Number(autoscaling, "min_replicas", Unwritten.MinReplicas) is not long min || Number(autoscaling, "max_replicas", isAuto ? MostAutoReplicas : 1) is not long max)
        {
            return;
        }

        string most = written is null ? $"{max}, the default of max_replicas" : $"max_replicas, {max}";
        if (min > max)
        {
            errors.Add((autoscaling.Find("min_replicas") ?? written)!.Place, $"min_replicas, {min}, must not be more than {most}");
        }
        else if (autoscaling.Find("initial_replicas") is { Kind: ConfigNodeKind.Integer } initial && (initial.Integer < min || initial.Integer > max))
        {
            errors.Add(initial.Place, $"initial_replicas must be from min_replicas, {min}, to {most}, not {initial.Integer}");
        }
    }

    /// <summary><see langword="null"/> where what is written is no number, which is said already.</summary>
    private static long? Number(ConfigNode table, string key, int unwritten) =>
        table.Find(key) is not ConfigNode node ? unwritten : node.Kind == ConfigNodeKind.Integer ? node.Integer : null;
}
