using Serve.Embedded.Config;

namespace Serve.Embedded.Deployments;

/// <summary>Judges what code declares by the keys that judge what an operator writes, in the words of the code.</summary>
internal static class OptionRules
{
    /// <summary>Where an option is not called as its key is.</summary>
    private static readonly Dictionary<string, string> OtherNames = new(StringComparer.Ordinal)
    {
        ["aggregation_function"] = nameof(AutoscalingOptions.Aggregation),
        ["autoscaling_config"] = nameof(DeploymentOptions.Autoscaling),
        ["rolling_update"] = nameof(DeploymentOptions.ReplacesOnUpdate),
        ["retry_after_s"] = nameof(DeploymentOptions.RetryAfterS),
        ["status_code"] = nameof(DeploymentOptions.BackpressureStatusCode),
    };

    /// <summary>Keys and options; what contains another comes before it.</summary>
    private static readonly (string Key, string Option)[] Names =
    [
        .. DeploymentKeys.Table.Keys.Concat(DeploymentKeys.Table.Keys.SelectMany(key => key.Children))
            .Select(key => (key.Name, OtherNames.GetValueOrDefault(key.Name) ?? OptionOf(key.Name)))
            .OrderByDescending(names => names.Name.Length),
    ];

    /// <summary>Everything that is wrong; <see langword="null"/> = nothing.</summary>
    /// <param name="options">As code declares them.</param>
    /// <param name="policies">Those that are registered.</param>
    public static string? Problem(DeploymentOptions options, IReadOnlyDictionary<string, IAutoscalingPolicy> policies)
    {
        if (options.Autoscaling is { } autoscaling)
        {
            if (options.NumReplicas != 1)
            {
                return "NumReplicas says how many, and Autoscaling lets the load decide. Leave one of them out.";
            }

            if (!Enum.IsDefined(autoscaling.Aggregation))
            {
                return $"Aggregation must be one of {string.Join(", ", Enum.GetNames<AggregationFunction>())}, not {autoscaling.Aggregation}.";
            }

            if (autoscaling.Policy is { } policy && !policies.ContainsKey(policy))
            {
                return $"No autoscaling policy '{policy}' is registered. Register it before the application.";
            }
        }

        ConfigErrors errors = new("code");
        if (options.UserConfig is { } userConfig && JsonConfigReader.Read(userConfig, errors) is null)
        {
            return $"UserConfig must be JSON: {errors.ToList()[0].Message}.";
        }

        ConfigNode node = DeploymentKeys.Table.ToNode(Written(options));
        DeploymentKeys.Table.Bind(DeploymentKeys.Table.Create(), node, errors);
        AutoscalingRules.Check(node, new(new Dictionary<string, IReadOnlyList<string>>()) { Policies = [.. policies.Keys] }, errors);
        return errors.Count == 0 ? null : string.Join(' ', errors.ToList().Select(error => $"{InCode(error.Message)}."));
    }

    private static DeploymentConfig Written(DeploymentOptions options) => new()
    {
        Name = "code",
        NumReplicas = options.Autoscaling is null ? options.NumReplicas : ReplicaCount.Auto,
        Autoscaling = options.Autoscaling is { } autoscaling ? Written(autoscaling) : null,
        MaxOngoingRequests = options.MaxOngoingRequests,
        MaxQueuedRequests = options.MaxQueuedRequests,
        MaxQueueWait = options.MaxQueueWait,
        MaxWebsockets = options.MaxWebsockets,
        GracefulShutdownTimeout = options.GracefulShutdownTimeout,
        HealthCheckPeriod = options.HealthCheckPeriod,
        HealthCheckTimeout = options.HealthCheckTimeout,
        MaxConstructorRetryCount = options.MaxConstructorRetryCount,
        RollingUpdatePercentage = options.RollingUpdatePercentage,
        NumCpus = options.NumCpus,
        MemoryMb = options.MemoryMb,
        Weight = options.Weight,
        UserConfig = options.UserConfig,
        Backpressure = new() { StatusCode = options.BackpressureStatusCode, RetryAfterS = options.RetryAfterS },
    };

    /// <summary>As an operator would have written it.</summary>
    public static AutoscalingConfig Written(AutoscalingOptions options) => new()
    {
        MinReplicas = options.MinReplicas,
        InitialReplicas = options.InitialReplicas,
        MaxReplicas = options.MaxReplicas,
        TargetOngoingRequests = options.TargetOngoingRequests,
        LookBackPeriod = options.LookBackPeriod,
        UpscaleDelay = options.UpscaleDelay,
        DownscaleDelay = options.DownscaleDelay,
        DownscaleToZeroDelay = options.DownscaleToZeroDelay,
        UpscalingFactor = options.UpscalingFactor,
        DownscalingFactor = options.DownscalingFactor,
        Aggregation = options.Aggregation,
        Policy = options.Policy,
    };

    /// <summary><c>max_queue_wait_s</c> is <c>MaxQueueWait</c>: times have their unit in their type.</summary>
    private static string OptionOf(string key) =>
        string.Concat(key.Split('_', StringSplitOptions.RemoveEmptyEntries).Where((word, i) => i == 0 || word != "s").Select(word => char.ToUpperInvariant(word[0]) + word[1..]));

    private static string InCode(string message)
    {
        foreach ((string key, string option) in Names)
        {
            // A key of one word may be a word like any other, unless the message begins with it.
            message = key.Contains('_', StringComparison.Ordinal) ? message.Replace(key, option, StringComparison.Ordinal)
                : message.StartsWith($"{key} ", StringComparison.Ordinal) ? option + message[key.Length..]
                : message;
        }

        return message.Replace(", or \"auto\"", "", StringComparison.Ordinal);
    }
}
