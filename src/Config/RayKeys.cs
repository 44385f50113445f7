namespace Serve.Embedded.Config;

/// <summary>
/// Keys that Ray Serve has and this server does not. Those that would change nothing are taken out of the tree with a warning, so that
/// what was written for Ray can be used; with any other value they stay, and are unknown keys like all others.
/// </summary>
/// <remarks>Over JSON only: a file of ours has no business with Ray's keys, but what Ray's command line sends is full of them.</remarks>
/// <param name="errors">Takes one warning for each key that is taken out.</param>
internal sealed class RayKeys(ConfigErrors errors)
{
    private const string OneProcess = "there is one process and one proxy";
    private const string NoRay = "there are no Ray actors to place";

    private static readonly RayKey[] Top =
    [
        new("proxy_location", node => node.Kind == ConfigNodeKind.String && node.Text is "Disabled" or "HeadOnly" or "EveryNode", OneProcess),
        new("grpc_options", node => node.Kind == ConfigNodeKind.Table && IsEmpty(node.Find("grpc_servicer_functions")), "there is no gRPC"),
        new("target_capacity"),
    ];

    private static readonly RayKey[] Http =
    [
        new("root_path", node => node is { Kind: ConfigNodeKind.String, Text: "" }, "it is empty"),
        new("middlewares", IsEmpty, "it is empty"),
        new("num_cpus", node => IsNumber(node, 0), "it is 0"),
        new("location"),
        new("ssl_keyfile"),
        new("ssl_certfile"),
        new("ssl_keyfile_password"),
        new("ssl_ca_certs"),
        new("root_url", node => node.Kind == ConfigNodeKind.String, "only Ray's own client reads it"),
    ];

    private static readonly RayKey[] Logging =
    [
        new("logs_dir"),
        new("additional_log_standard_attrs", IsEmpty, "it is empty"),
    ];

    private static readonly RayKey[] Application =
    [
        new("runtime_env", IsEmpty, "it is empty"),
        new("logging_config"),
        new("external_scaler_enabled", node => node is { Kind: ConfigNodeKind.Boolean, Boolean: false }, "there is no external scaler"),
        new("autoscaling_policy"),
        new("docs_path", node => node.Kind == ConfigNodeKind.String, "there is no page of documentation"),
    ];

    private static readonly RayKey[] Deployment =
    [
        new("placement_group_bundles"),
        new("placement_group_strategy", node => node is { Kind: ConfigNodeKind.String, Text: "PACK" }, NoRay),
        new("placement_group_bundle_label_selector"),
        new("max_replicas_per_node"),
        new("logging_config"),
        new("request_router_config", IsDefaultRouter, "it is the default"),
        new("gang_scheduling_config"),
        new("deployment_actors"),
    ];

    /// <summary>Fallbacks of the factors that have taken their place: 1 is what those are without them.</summary>
    private static readonly RayKey[] Autoscaling =
    [
        new("smoothing_factor", node => IsNumber(node, 1), "it is 1"),
        new("upscale_smoothing_factor", node => IsNumber(node, 1), "it is 1"),
        new("downscale_smoothing_factor", node => IsNumber(node, 1), "it is 1"),
    ];

    /// <summary>Takes Ray's keys out of a whole configuration.</summary>
    public void TakeOut(ConfigNode root)
    {
        TakeOut(root, Top);
        TakeOut(root.Find("http_options"), Http);
        TakeOut(root.Find("logging_config"), Logging);
        foreach (ConfigNode application in root.Find("applications")?.Items ?? [])
        {
            TakeOut(application, Application);
            foreach (ConfigNode deployment in application.Find("deployments")?.Items ?? [])
            {
                TakeOut(deployment, Deployment);
                TakeOut(deployment.Find("autoscaling_config"), Autoscaling);
                TakeActorOptions(deployment);
            }
        }
    }

    private void TakeOut(ConfigNode? table, RayKey[] keys)
    {
        foreach (RayKey key in table is null ? [] : keys)
        {
            if (!table!.Members.TryGetValue(key.Name, out ConfigMember member))
            {
                continue;
            }

            // Null is how JSON leaves a key out, and that needs no word.
            bool isWritten = member.Value.Kind != ConfigNodeKind.Null;
            if (isWritten && key.IsNoOp?.Invoke(member.Value) == true)
            {
                errors.Warn(member.KeyPlace, $"{key.Name} has no effect: {key.Because}; take it out");
            }
            else if (isWritten)
            {
                continue;
            }

            table.Members.Remove(key.Name);
        }
    }

    /// <summary>Of what a replica needs of a machine, CPUs are known here too.</summary>
    private void TakeActorOptions(ConfigNode deployment)
    {
        const string Name = "ray_actor_options";
        if (!deployment.Members.TryGetValue(Name, out ConfigMember member))
        {
            return;
        }

        if (member.Value.Kind is not (ConfigNodeKind.Null or ConfigNodeKind.Table)
            || member.Value.Members.Any(option => option.Key != "num_cpus" && !IsNothing(option.Value.Value)))
        {
            return;
        }

        deployment.Members.Remove(Name);
        if (member.Value.Kind == ConfigNodeKind.Null)
        {
            return;
        }

        bool isTaken = IsWritten(member.Value.Find("num_cpus")) && !IsWritten(deployment.Find("num_cpus"));
        if (isTaken)
        {
            deployment.Members["num_cpus"] = member.Value.Members["num_cpus"];
        }

        errors.Warn(member.KeyPlace, isTaken
            ? $"{Name}: its num_cpus is taken as the deployment's own num_cpus; write that instead"
            : $"{Name} has no effect: {NoRay}; take it out");
    }

    private static bool IsWritten(ConfigNode? node) => node is not (null or { Kind: ConfigNodeKind.Null });

    private static bool IsEmpty(ConfigNode? node) => node is null or { Kind: ConfigNodeKind.Table or ConfigNodeKind.Array, Members.Count: 0, Items.Count: 0 };

    private static bool IsNumber(ConfigNode node, double number) => NumberType.TryRead(node, number, number, out _);

    private static bool IsNothing(ConfigNode node) => node.Kind == ConfigNodeKind.Null || IsEmpty(node) || IsNumber(node, 0);

    private static bool IsDefaultRouter(ConfigNode node) => node.Kind == ConfigNodeKind.Table && node.Members.All(pair => pair.Value.Value.Kind == ConfigNodeKind.Null || pair.Key switch
    {
        "request_router_class" => pair.Value.Value.Text.EndsWith("PowerOfTwoChoicesRequestRouter", StringComparison.Ordinal),
        "request_router_kwargs" => IsEmpty(pair.Value.Value),
        "request_routing_stats_period_s" => IsNumber(pair.Value.Value, 10),
        "request_routing_stats_timeout_s" => IsNumber(pair.Value.Value, 30),
        "initial_backoff_s" => IsNumber(pair.Value.Value, 0.025),
        "backoff_multiplier" => IsNumber(pair.Value.Value, 2),
        "max_backoff_s" => IsNumber(pair.Value.Value, 0.5),
        _ => false,
    });

    /// <param name="Name">As Ray writes it.</param>
    /// <param name="IsNoOp">Whether a value changes nothing; <see langword="null"/> = only JSON's null does.</param>
    /// <param name="Because">Completes "has no effect: ...".</param>
    private sealed record RayKey(string Name, Func<ConfigNode, bool>? IsNoOp = null, string Because = "");
}
