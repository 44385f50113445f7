using System.Globalization;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;

namespace Serve.Embedded.Tests.Config;

/// <summary>Valid configurations from a seed, with every key set or left out by chance.</summary>
internal sealed class RandomConfig(int seed)
{
    private static readonly string[] Texts = ["", "Hello!", "é\u0001\"\\\n\t\u007f\u0085", "日本", "'''", "#", "a = 1", "{}", "\U0001F600"];

    private readonly Random _random = new(seed);

    public ServeConfig Next() => new()
    {
        Http = new HttpOptionsConfig
        {
            Host = Pick("127.0.0.1", "::", "example.org", "my_host"),
            Port = _random.Next(65536),
            RequestTimeout = Maybe(Seconds),
            StreamTimeout = Maybe(SecondsOrNone),
            KeepAliveTimeout = Seconds(),
            MaxConnections = _random.Next(1, 1_000_000),
            MaxRequestBodyBytes = _random.NextInt64(1L << 40),
            ShutdownDelay = TimeSpan.FromTicks(_random.NextInt64(3600 * TimeSpan.TicksPerSecond)),
        },
        Admin = new AdminOptionsConfig
        {
            Host = Pick("::1", "localhost"),
            Port = _random.Next(65536),
            TokenFile = Pick(null, "/etc/serve/token", "é \"\\"),
            AllowedHosts = Pick<EquatableList<string>>([], ["box.example"], ["a", "b"]),
        },
        Controller = new ControllerOptionsConfig { StateDir = Pick(null, "/var/lib/serve", "state") },
        Box = new BoxConfig
        {
            MaxReplicas = Maybe(() => _random.Next(1, 1_000_000)),
            Cpus = Maybe(() => 0.01 + (_random.NextDouble() * 1000)),
            MemoryMb = Maybe(() => _random.Next(1, DeploymentKeys.MaxMemoryMb)),
        },
        Logging = new LoggingConfig { Encoding = Pick(LogEncoding.Text, LogEncoding.Json), Level = (LogLevel)_random.Next(6), EnableAccessLog = Chance() },
        Applications = new EquatableList<ApplicationConfig>([.. Enumerable.Range(0, _random.Next(4)).Select(Application)]),
    };

    private ApplicationConfig Application(int index)
    {
        if (_random.Next(3) == 0)
        {
            return WorkerApplication(index);
        }

        bool slow = Chance();
        return new ApplicationConfig
        {
            Name = $"app-{index}.x",
            RoutePrefix = Chance() ? null : $"/é{index}/b",
            ImportPath = slow ? "builtin:slow" : "builtin:echo",
            RequestTimeout = Maybe(SecondsOrNone),
            Args = Chance() ? null : JsonText.Canonical(Table(depth: 1)),
            Deployments = Chance() ? [] : [Deployment(slow ? "SlowDeployment" : "Echo")],
        };
    }

    private ApplicationConfig WorkerApplication(int index) => new()
    {
        Name = $"worker-{index}",
        RoutePrefix = $"/w{index}",
        RuntimeEnv = Chance() ? null : RuntimeEnv(),
        Python = Pick(null, "venv/bin/python"),
        Deployments =
        [
            Deployment("w") with
            {
                Worker = new()
                {
                    Command = ["/bin/sh", "-c", Pick(Texts), "{socket}"],
                    RuntimeEnv = Chance() ? null : RuntimeEnv(),
                    HealthCheckPath = Pick(null, "/health?a=b"),
                    ReconfigurePath = Pick(null, "/re"),
                    StartupTimeout = Maybe(Seconds),
                    Retry = Maybe(() => (RetryMode)_random.Next(3)),
                    MaxRequestsPerReplica = Maybe(() => _random.Next(1, int.MaxValue)),
                    MaxReplicaAge = Maybe(() => TimeSpan.FromSeconds(_random.Next(1, 1_000))),
                    MaxReplicaRssMb = Maybe(() => _random.Next(1, 1_000)),
                    Nice = Maybe(() => _random.Next(-20, 20)),
                    CpuAffinity = Pick<EquatableList<int>>([], [0], [0, 7, 1_023]),
                    MaxOpenFiles = Maybe(() => _random.Next(16, 1_048_576)),
                    Rlimits = Chance() ? null : new() { CoreMb = Maybe(Mebibytes), AddressSpaceMb = Maybe(Mebibytes), LockedMemoryMb = Maybe(Mebibytes), Processes = Maybe(() => _random.Next(-1, 4_194_304)) },
                    MemoryMaxMb = Maybe(() => _random.Next(1, DeploymentKeys.MaxMemoryMb)),
                    CpuMax = Maybe(() => 0.01 + (_random.NextDouble() * 64)),
                },
            },
        ],
    };

    private int Mebibytes() => _random.Next(-1, DeploymentKeys.MaxMemoryMb);

    private RuntimeEnvConfig RuntimeEnv() => new()
    {
        WorkingDir = Pick(null, "model", "/srv/é"),
        EnvVars = Pick<EquatableList<EnvironmentVariable>>([], [new("A", Pick(Texts))], [new("A", "1"), new("a.b-c", "")]),
        ClearEnv = Chance(),
    };

    private DeploymentConfig Deployment(string name) => Scaled(new()
    {
        Name = name,
        MaxOngoingRequests = Maybe(() => _random.Next(1, 1_000_000)),
        MaxQueuedRequests = Maybe(() => _random.Next(-1, 1_000_000)),
        MaxQueueWait = Maybe(Seconds),
        MaxWebsockets = Maybe(() => _random.Next(0, 1_000_000)),
        GracefulShutdownTimeout = Maybe(Delay),
        GracefulShutdownWaitLoop = Maybe(Delay),
        HealthCheckPeriod = Maybe(Seconds),
        HealthCheckTimeout = Maybe(Seconds),
        MaxConstructorRetryCount = Maybe(() => _random.Next(1, 10_000)),
        RollingUpdatePercentage = Maybe(() => 1 - (_random.NextDouble() * 0.9)),
        Replaces = Maybe(Chance),
        NumCpus = Maybe(() => _random.NextDouble() * 64),
        MemoryMb = Maybe(() => _random.Next(DeploymentKeys.MaxMemoryMb)),
        Weight = Maybe(() => _random.Next(1, 1_000)),
        UserConfig = Chance() ? null : JsonText.Canonical(Value(depth: 0)),
        Backpressure = Chance() ? null : new BackpressureConfig { StatusCode = Pick(503, 429), RetryAfterS = Maybe(() => _random.NextDouble() * 86400) },
    });

    private DeploymentConfig Scaled(DeploymentConfig deployment)
    {
        if (Chance())
        {
            return deployment with { NumReplicas = Maybe(() => Chance() ? ReplicaCount.Auto : _random.Next(1, 10_000)) };
        }

        int min = _random.Next(50);
        int max = min + 1 + _random.Next(50);
        return deployment with
        {
            NumReplicas = Chance() ? ReplicaCount.Auto : null,
            Autoscaling = new AutoscalingConfig
            {
                MinReplicas = min,
                InitialReplicas = Maybe(() => _random.Next(min, max)),
                MaxReplicas = max,
                TargetOngoingRequests = 0.001 + (_random.NextDouble() * 100),
                LookBackPeriod = Seconds(),
                MetricsInterval = Maybe(Seconds),
                UpscaleDelay = Delay(),
                DownscaleDelay = Delay(),
                DownscaleToZeroDelay = Maybe(Delay),
                UpscalingFactor = 0.001 + _random.NextDouble(),
                DownscalingFactor = 0.001 + _random.NextDouble(),
                Aggregation = (AggregationFunction)_random.Next(3),
                Policy = Pick(null, "queue"),
            },
        };
    }

    private ConfigNode Value(int depth)
    {
        switch (_random.Next(depth < 4 ? 6 : 4))
        {
            case 0:
                return ConfigNode.Of(Pick(Texts));
            case 1:
                return ConfigNode.Of(Pick(0, -1, long.MaxValue, long.MinValue, _random.NextInt64()));
            case 2:
                return ConfigNode.Of(Pick(0.0, -0.0, 2.0, 1e300, double.Epsilon, 1e16, _random.NextDouble()));
            case 3:
                return ConfigNode.Of(Chance());
            case 4:
                ConfigNode array = ConfigNode.Array();
                array.Items.AddRange(Enumerable.Range(0, _random.Next(4)).Select(_ => Value(depth + 1)));
                return array;
            default:
                return Table(depth);
        }
    }

    private ConfigNode Table(int depth)
    {
        ConfigNode table = ConfigNode.Table();
        for (int i = _random.Next(4); i > 0; i--)
        {
            string key = Pick(Texts) + Pick("", "k", i.ToString(CultureInfo.InvariantCulture));
            table.Members.TryAdd(key, new ConfigMember(default, Value(depth + 1)));
        }

        return table;
    }

    private bool Chance() => _random.Next(2) == 0;

    private T Pick<T>(params T[] choices) => choices[_random.Next(choices.Length)];

    private T? Maybe<T>(Func<T> value)
        where T : struct => Chance() ? null : value();

    private TimeSpan Seconds() => TimeSpan.FromTicks(_random.NextInt64(TimeSpan.TicksPerMillisecond, 30 * TimeSpan.TicksPerDay));

    private TimeSpan Delay() => TimeSpan.FromTicks(_random.NextInt64(86400 * TimeSpan.TicksPerSecond));

    private TimeSpan SecondsOrNone() => Chance() ? Timeout.InfiniteTimeSpan : Seconds();
}
