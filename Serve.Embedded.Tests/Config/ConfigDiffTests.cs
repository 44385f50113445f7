using System.Reflection;
using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

public sealed class ConfigDiffTests
{
    private static readonly ServeConfig Base = new()
    {
        Applications =
        [
            new ApplicationConfig
            {
                ImportPath = "builtin:slow",
                RuntimeEnv = new(),
                Deployments = [new DeploymentConfig { Name = "SlowDeployment", MaxQueuedRequests = 2, Backpressure = new BackpressureConfig(), Autoscaling = new AutoscalingConfig(), Worker = new() { Rlimits = new() } }],
            },
        ],
    };

    private static readonly Dictionary<Type, object> OtherValues = new()
    {
        [typeof(string)] = "other",
        [typeof(int)] = 429,
        [typeof(long)] = 4242L,
        [typeof(double)] = 4.5,
        [typeof(TimeSpan)] = TimeSpan.FromSeconds(42),
        [typeof(ReplicaCount)] = ReplicaCount.Auto,
        [typeof(AggregationFunction)] = AggregationFunction.Max,
        [typeof(EquatableList<string>)] = new EquatableList<string>(["other"]),
        [typeof(EquatableList<int>)] = new EquatableList<int>([3]),
        [typeof(EquatableList<EnvironmentVariable>)] = new EquatableList<EnvironmentVariable>([new("A", "b")]),
        [typeof(RetryMode)] = RetryMode.Always,
        [typeof(LogEncoding)] = LogEncoding.Json,
        [typeof(Microsoft.Extensions.Logging.LogLevel)] = Microsoft.Extensions.Logging.LogLevel.Error,
    };

    /// <summary>Every property of every record, changed alone: one that the diff does not see is one that a reload ignores.</summary>
    public static TheoryData<string> Properties =>
        [.. Records.SelectMany(type => type.GetProperties().Where(p => p.CanWrite && !IsRecord(p.PropertyType)).Select(p => $"{type.Name}.{p.Name}"))];

    private static Type[] Records { get; } =
    [
        typeof(ServeConfig), typeof(HttpOptionsConfig), typeof(AdminOptionsConfig), typeof(LoggingConfig),
        typeof(ControllerOptionsConfig), typeof(BoxConfig),
        typeof(ApplicationConfig), typeof(DeploymentConfig), typeof(BackpressureConfig), typeof(AutoscalingConfig), typeof(WorkerConfig), typeof(RlimitsConfig), typeof(RuntimeEnvConfig),
    ];

    [Fact]
    public void Compare_Equal_IsEmpty() => Assert.Empty(ConfigDiff.Compare(Base, Base with { Http = new HttpOptionsConfig() }));

    [Theory]
    [MemberData(nameof(Properties))]
    public void Compare_AnyPropertyChanged_SeesIt(string property)
    {
        string[] parts = property.Split('.');
        ServeConfig changed = Change(parts[0], parts[1]);

        Assert.NotEqual(Base, changed);
        Assert.NotEmpty(ConfigDiff.Compare(Base, changed));
        Assert.NotEmpty(ConfigDiff.Compare(changed, Base));
    }

    [Fact]
    public void Records_Always_AreAllInTheGuard() =>
        Assert.Equal(
            typeof(ServeConfig).Assembly.GetTypes().Where(IsRecord).Select(t => t.Name).Order(),
            Records.Select(t => t.Name).Order());

    [Fact]
    public void Compare_DeploymentKey_HasPathValuesAndKind()
    {
        ServeConfig after = Base with
        {
            Applications = [Base.Applications[0] with { Deployments = [Base.Applications[0].Deployments[0] with { MaxQueuedRequests = 5, UserConfig = """{"a":1}""", Backpressure = null }] }],
        };

        Assert.Equal(
            [
                new ConfigChange("applications.default.deployments.SlowDeployment.max_queued_requests", "2", "5", UpdateKind.Live),
                new ConfigChange("applications.default.deployments.SlowDeployment.user_config", "not set", "{ a = 1 }", UpdateKind.Reconfigure),
                new ConfigChange("applications.default.deployments.SlowDeployment.backpressure_config", "{ status_code = 503 }", "not set", UpdateKind.Live),
            ],
            ConfigDiff.Compare(Base, after));
    }

    [Fact]
    public void Compare_KindsOfUpdate_AreThoseOfTheTable()
    {
        ServeConfig after = Base with
        {
            Http = Base.Http with { Port = 1, RequestTimeout = TimeSpan.FromSeconds(1) },
            Applications = [Base.Applications[0] with { ImportPath = "builtin:echo" }],
        };

        Assert.Equal(
            ["http_options.port: 8000 -> 1 (Restart)", "http_options.request_timeout_s: not set -> 1.0 (Live)", "applications.default.import_path: \"builtin:slow\" -> \"builtin:echo\" (Replace)"],
            ConfigDiff.Compare(Base, after).Select(change => $"{change} ({change.Update})"));
    }

    [Fact]
    public void Compare_AddedAndRemoved_AreOneChangeEach()
    {
        ServeConfig after = Base with
        {
            Applications =
            [
                new ApplicationConfig { Name = "new", RoutePrefix = "/new", ImportPath = "builtin:echo", Deployments = [new DeploymentConfig { Name = "Echo" }] },
                Base.Applications[0] with { Deployments = [] },
            ],
        };

        Assert.Equal(
            ["applications.default.deployments.SlowDeployment: removed", "applications.new: added"],
            ConfigDiff.Compare(Base, after).Select(change => change.ToString()));
        Assert.Equal(
            ["applications.new: removed", "applications.default.deployments.SlowDeployment: added"],
            ConfigDiff.Compare(after, Base).Select(change => change.ToString()));
    }

    private static bool IsRecord(Type type) => type.Namespace == typeof(ServeConfig).Namespace && type.Name.EndsWith("Config", StringComparison.Ordinal);

    private static ServeConfig Change(string record, string property)
    {
        ApplicationConfig application = Base.Applications[0];
        DeploymentConfig deployment = application.Deployments[0];
        return record switch
        {
            nameof(ServeConfig) => Base with { Applications = [] },
            nameof(HttpOptionsConfig) => Base with { Http = With(Base.Http, property) },
            nameof(AdminOptionsConfig) => Base with { Admin = With(Base.Admin, property) },
            nameof(LoggingConfig) => Base with { Logging = With(Base.Logging, property) },
            nameof(ControllerOptionsConfig) => Base with { Controller = With(Base.Controller, property) },
            nameof(BoxConfig) => Base with { Box = With(Base.Box, property) },
            nameof(ApplicationConfig) => Base with { Applications = [property == "Deployments" ? application with { Deployments = [] } : With(application, property)] },
            nameof(DeploymentConfig) => Base with { Applications = [application with { Deployments = [With(deployment, property)] }] },
            nameof(AutoscalingConfig) => Base with { Applications = [application with { Deployments = [deployment with { Autoscaling = With(deployment.Autoscaling!, property) }] }] },
            nameof(WorkerConfig) => Base with { Applications = [application with { Deployments = [deployment with { Worker = With(deployment.Worker, property) }] }] },
            nameof(RlimitsConfig) => Base with { Applications = [application with { Deployments = [deployment with { Worker = new() { Rlimits = With(deployment.Worker.Rlimits!, property) } }] }] },
            nameof(RuntimeEnvConfig) => Base with { Applications = [application with { RuntimeEnv = With(application.RuntimeEnv!, property) }] },
            _ => Base with { Applications = [application with { Deployments = [deployment with { Backpressure = With(deployment.Backpressure!, property) }] }] },
        };
    }

    // What the compiler makes of "record with { Property = value }", for a property known by name only.
    private static T With<T>(T record, string name)
        where T : class
    {
        T copy = (T)typeof(T).GetMethod("<Clone>$")!.Invoke(record, null)!;
        PropertyInfo property = typeof(T).GetProperty(name)!;
        Type type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        object value = name is nameof(DeploymentConfig.UserConfig) or nameof(ApplicationConfig.Args)
            ? """{"other":1}"""
            : type == typeof(bool) ? property.GetValue(record) is not true
            : OtherValues[type];
        property.SetValue(copy, value);
        return copy;
    }
}
