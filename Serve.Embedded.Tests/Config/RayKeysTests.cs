using System.Text;
using Serve.Embedded.Config;

namespace Serve.Embedded.Tests.Config;

public sealed class RayKeysTests
{
    /// <summary>Where it stands, what Ray writes, and the warning; no warning: null, which says nothing.</summary>
    public static TheoryData<string, string, string?> Accepted { get; } = new()
    {
        { "top", """ "proxy_location": "EveryNode" """, "proxy_location has no effect: there is one process and one proxy; take it out" },
        { "top", """ "grpc_options": { "port": 9000, "grpc_servicer_functions": [] } """, "grpc_options has no effect: there is no gRPC; take it out" },
        { "top", """ "target_capacity": null """, null },
        { "http", """ "root_path": "" """, "root_path has no effect: it is empty; take it out" },
        { "http", """ "root_url": "http://a" """, "root_url has no effect: only Ray's own client reads it; take it out" },
        { "http", """ "ssl_keyfile": null """, null },
        { "logging", """ "logs_dir": null """, null },
        { "logging", """ "additional_log_standard_attrs": [] """, "additional_log_standard_attrs has no effect: it is empty; take it out" },
        { "application", """ "runtime_env": {} """, "runtime_env has no effect: it is empty; take it out" },
        { "application", """ "external_scaler_enabled": false """, "external_scaler_enabled has no effect: there is no external scaler; take it out" },
        { "application", """ "docs_path": "/docs" """, "docs_path has no effect: there is no page of documentation; take it out" },
        { "application", """ "autoscaling_policy": null """, null },
        { "application", """ "logging_config": null """, null },
        { "deployment", """ "ray_actor_options": { "num_gpus": 0.0, "resources": {} } """, "ray_actor_options has no effect: there are no Ray actors to place; take it out" },
        { "deployment", """ "ray_actor_options": null """, null },
        { "deployment", """ "placement_group_strategy": "PACK" """, "placement_group_strategy has no effect: there are no Ray actors to place; take it out" },
        { "deployment", """ "placement_group_bundles": null """, null },
        { "deployment", """ "placement_group_bundle_label_selector": null """, null },
        { "deployment", """ "max_replicas_per_node": null """, null },
        { "deployment", """ "logging_config": null """, null },
        { "deployment", """ "gang_scheduling_config": null """, null },
        { "deployment", """ "deployment_actors": null """, null },
        { "deployment", """ "request_router_config": { "request_router_kwargs": {}, "initial_backoff_s": 0.025, "backoff_multiplier": 2 } """, "request_router_config has no effect: it is the default; take it out" },
    };

    public static TheoryData<string, string> Refused { get; } = new()
    {
        { "top", """ "proxy_location": "Everywhere" """ },
        { "top", """ "proxy_location": 1 """ },
        { "top", """ "grpc_options": { "grpc_servicer_functions": ["a:b"] } """ },
        { "top", """ "target_capacity": 50.0 """ },
        { "http", """ "root_path": "/x" """ },
        { "http", """ "ssl_keyfile": "key.pem" """ },
        { "logging", """ "logs_dir": "/x" """ },
        { "application", """ "external_scaler_enabled": true """ },
        { "application", """ "autoscaling_policy": { "policy_function": "a:b" } """ },
        { "deployment", """ "ray_actor_options": { "num_gpus": 1 } """ },
        { "deployment", """ "ray_actor_options": 1 """ },
        { "deployment", """ "placement_group_strategy": "SPREAD" """ },
        { "deployment", """ "max_replicas_per_node": 1 """ },
        { "deployment", """ "request_router_config": { "backoff_multiplier": 3 } """ },
        { "deployment", """ "no_such_key": null """ },
    };

    [Theory]
    [MemberData(nameof(Accepted))]
    public void ReadJson_KeyOfRayThatChangesNothing_IsAcceptedWithAWarning(string where, string written, string? warning)
    {
        ConfigResult result = ReadJson(where, written);

        Assert.True(result.IsValid, TestCatalog.Lines(result));
        Assert.Equal(ReadJson("top", "").Config, result.Config);
        Assert.Equal(warning is null ? [] : [$"warning: {warning}"], result.Warnings.Select(w => w.Message));
        Assert.All(result.Warnings, w => Assert.Equal((where == "deployment" ? 3 : 2, 2), (w.Line, w.Column)));
    }

    [Theory]
    [MemberData(nameof(Refused))]
    public void ReadJson_KeyOfRayThatWouldChangeSomething_IsUnknown(string where, string written)
    {
        ConfigError error = Assert.Single(ReadJson(where, written).Errors);

        Assert.StartsWith($"unknown key {written.Split('"')[1]} in ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ReadJson_RuntimeEnvOfRay_NamesItsKeyThatIsUnknown()
    {
        IReadOnlyList<ConfigError> errors = ReadJson("application", """ "runtime_env": { "pip": ["x"] } """).Errors;

        Assert.Contains(errors, e => e.Message.StartsWith("unknown key pip in runtime_env", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("top", "proxy_location = \"EveryNode\"\n")]
    [InlineData("deployment", "placement_group_strategy = \"PACK\"\n")]
    [InlineData("deployment", "ray_actor_options = {}\n")]
    public void ReadText_KeyOfRay_IsUnknown(string where, string written)
    {
        ConfigResult result = TestCatalog.Read(where == "top"
            ? written + "applications = []"
            : $"[[applications]]\nimport_path = \"builtin:slow\"\n[[applications.deployments]]\nname = \"SlowDeployment\"\n{written}");

        Assert.StartsWith("unknown key ", Assert.Single(result.Errors).Message, StringComparison.Ordinal);
        Assert.Empty(result.Warnings);
    }

    [Fact]
    public void ReadJson_ActorOptionsWithCpus_AreTheDeploymentsCpus()
    {
        ConfigResult result = ReadJson("deployment", """ "ray_actor_options": { "num_cpus": 1.5, "num_gpus": 0 } """);

        Assert.Equal(1.5, result.Config!.Applications[0].Deployments[0].NumCpus);
        Assert.Equal("warning: ray_actor_options: its num_cpus is taken as the deployment's own num_cpus; write that instead", Assert.Single(result.Warnings).Message);
    }

    /// <summary>Null is absent, and 0 is 0: not the default of a worker, which is a whole processor.</summary>
    [Theory]
    [InlineData(""" "ray_actor_options": { "num_cpus": 0 } """, 0.0)]
    [InlineData(""" "ray_actor_options": { "num_cpus": 0.0, "memory": null } """, 0.0)]
    [InlineData(""" "ray_actor_options": { "num_cpus": null } """, null)]
    [InlineData(""" "num_cpus": null, "ray_actor_options": { "num_cpus": 2 } """, 2.0)]
    [InlineData(""" "num_cpus": 0, "ray_actor_options": { "num_cpus": null } """, 0.0)]
    public void ReadJson_ActorOptionsWithZeroOrNull_HaveTheirMeaning(string written, double? cpus)
    {
        ConfigResult result = ReadJson("deployment", written);

        Assert.True(result.IsValid, TestCatalog.Lines(result));
        Assert.Equal(cpus, result.Config!.Applications[0].Deployments[0].NumCpus);
    }

    [Theory]
    [InlineData("null", 0)]
    [InlineData("1.0", 3)]
    [InlineData("1", 3)]
    public void ReadJson_SmoothingFactorsThatChangeNothing_AreAccepted(string factor, int warnings)
    {
        ConfigResult result = ReadJson(
            "deployment",
            $$""" "autoscaling_config": { "smoothing_factor": {{factor}}, "upscale_smoothing_factor": {{factor}}, "downscale_smoothing_factor": {{factor}}, "upscaling_factor": 0.5 } """);

        Assert.True(result.IsValid, TestCatalog.Lines(result));
        Assert.Equal(0.5, result.Config!.Applications[0].Deployments[0].Autoscaling!.UpscalingFactor);
        Assert.Equal(warnings, result.Warnings.Count);
        Assert.All(result.Warnings, w => Assert.EndsWith("smoothing_factor has no effect: it is 1; take it out", w.Message, StringComparison.Ordinal));
    }

    [Fact]
    public void ReadJson_SmoothingFactorThatWouldChangeSomething_NamesTheKeyToWrite()
    {
        ConfigError error = Assert.Single(ReadJson("deployment", """ "autoscaling_config": { "smoothing_factor": 0.5 } """).Errors);

        Assert.Contains("write upscaling_factor and downscaling_factor", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ReadJson_ActorOptionsBesideOwnCpus_HaveNoEffect()
    {
        ConfigResult result = ReadJson("deployment", """ "ray_actor_options": { "num_cpus": 1.5 }, "num_cpus": 0.5 """);

        Assert.Equal(0.5, result.Config!.Applications[0].Deployments[0].NumCpus);
        Assert.Contains("has no effect", Assert.Single(result.Warnings).Message, StringComparison.Ordinal);
    }

    // The key stands at the beginning of a line of its own, in the table that is named.
    private static ConfigResult ReadJson(string where, string written)
    {
        string At(string place, string comma) => where == place && written.Length > 0 ? $"\n{written}{comma}" : "";
        string json = $$"""
            {{{At("top", ",")}} "http_options": {{{At("http", "")}}}, "logging_config": {{{At("logging", "")}}}, "applications": [{{{At("application", ",")}}
             "import_path": "builtin:slow", "deployments": [{{{At("deployment", ",")}} "name": "SlowDeployment" }] }] }
            """;
        return ConfigReader.ReadJson(Encoding.UTF8.GetBytes(json), "body", TestCatalog.Builtin);
    }
}
