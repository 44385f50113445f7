using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Scaling;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>What a restless operator asks for: mostly one change at a time, sometimes everything at once.</summary>
internal sealed class ControllerSimulationGoals(Random random)
{
    public static readonly string[] ImportPaths = ["test:v1", "test:v2", "test:v3", "test:other", "test:solo"];

    private static readonly string[] Names = ["red", "green", "blue"];
    private static readonly int[] Queues = [0, 1, 3, 10, -1];
    private static readonly double[] Waves = [0.1, 0.2, 0.5, 1];
    private static readonly double[] Factors = [0.3, 0.5, 1];
    private static readonly double?[] Cpus = [null, null, 0.25, 0.5, 1];
    private static readonly int?[] Memory = [null, null, null, 64];

    public static readonly string[] Prefixes = ["/", "/x", "/y", "/z"];

    /// <summary>The next goal after this one.</summary>
    public IReadOnlyList<ApplicationGoal> Next(IReadOnlyList<ApplicationGoal> goals)
    {
        List<ApplicationGoal> next = [.. goals];
        int changes = random.Next(6) == 0 ? 4 : 1;
        for (int i = 0; i < changes; i++)
        {
            int at = random.Next(Names.Length);
            int index = next.FindIndex(g => g.Name == Names[at]);
            if (index < 0)
            {
                next.Add(New(Names[at], next));
            }
            else if (random.Next(8) == 0)
            {
                next.RemoveAt(index);
            }
            else
            {
                next[index] = Changed(next[index], next);
            }
        }

        return next;
    }

    /// <summary>Sometimes too small for all that is wanted, sometimes even for the fewest.</summary>
    public BoxConfig Box() => new()
    {
        Cpus = random.Next(2, 10),
        MemoryMb = random.Next(3, 12) * 64,
        MaxReplicas = random.Next(2) == 0 ? random.Next(6, 20) : null,
    };

    private static string[] DeploymentsOf(string importPath) => importPath == "test:solo" ? ["Front"] : ["Front", "Back"];

    private ApplicationGoal New(string name, List<ApplicationGoal> others)
    {
        string importPath = ImportPaths[random.Next(ImportPaths.Length)];
        return new()
        {
            Name = name,
            RoutePrefix = FreePrefix(others),
            RequestTimeout = null,
            StreamTimeout = null,
            Code = new(importPath, null),
            Deployments = new EquatableList<DeploymentGoal>([.. DeploymentsOf(importPath).Select(New)]),
        };
    }

    private ApplicationGoal Changed(ApplicationGoal goal, List<ApplicationGoal> others)
    {
        switch (random.Next(8))
        {
            case 0:
                return goal with { RoutePrefix = FreePrefix(others) };
            case 1:
                return goal with { RequestTimeout = random.Next(2) == 0 ? null : TimeSpan.FromMilliseconds(random.Next(100, 2_000)) };
            case 2 or 3:
                string importPath = ImportPaths[random.Next(ImportPaths.Length)];
                return goal with
                {
                    Code = new(importPath, null),
                    Deployments = new EquatableList<DeploymentGoal>([.. DeploymentsOf(importPath).Select(n => goal.Deployments.FirstOrDefault(d => d.Name == n) ?? New(n))]),
                };
            default:
                int at = random.Next(goal.Deployments.Count);
                return goal with { Deployments = new EquatableList<DeploymentGoal>([.. goal.Deployments.Select((d, i) => i == at ? Changed(d) : d)]) };
        }
    }

    private DeploymentGoal New(string name) => Scaled(new()
    {
        Name = name,
        NumReplicas = random.Next(1, 5),
        NumCpus = Cpus[random.Next(Cpus.Length)],
        MemoryMb = Memory[random.Next(Memory.Length)],
        Weight = random.Next(1, 4),
        MaxOngoingRequests = random.Next(1, 5),
        MaxQueuedRequests = Queues[random.Next(Queues.Length)],
        MaxQueueWait = random.Next(3) == 0 ? TimeSpan.FromMilliseconds(random.Next(20, 400)) : null,
        GracefulShutdownTimeout = TimeSpan.FromMilliseconds(random.Next(0, 3_000)),
        UserConfig = random.Next(3) == 0 ? null : UserConfig(),
        HealthCheckPeriod = TimeSpan.FromMilliseconds(random.Next(500, 5_000)),
        HealthCheckTimeout = TimeSpan.FromMilliseconds(random.Next(100, 1_000)),
        MaxConstructorRetryCount = random.Next(1, 7),
        RollingUpdatePercentage = Waves[random.Next(Waves.Length)],
        Replaces = random.Next(6) == 0,
    });

    /// <summary>As many replicas as the load asks for, or a fixed number.</summary>
    private DeploymentGoal Scaled(DeploymentGoal goal)
    {
        if (random.Next(2) == 0)
        {
            return goal with { Autoscaling = null, NumReplicas = random.Next(1, 5) };
        }

        int min = Math.Max(0, random.Next(-2, 3));
        int max = Math.Max(1, min + random.Next(0, 6));
        return goal with
        {
            NumReplicas = min,
            Autoscaling = new()
            {
                MinReplicas = min,
                MaxReplicas = max,
                IsMaxOpen = random.Next(4) == 0,
                InitialReplicas = random.Next(4) == 0 ? random.Next(min, max + 1) : null,
                TargetOngoingRequests = 0.3 + (2 * random.NextDouble()),
                LookBackPeriod = Milliseconds(100, 1_000),
                UpscaleDelay = Milliseconds(0, 500),
                DownscaleDelay = Milliseconds(0, 800),
                DownscaleToZeroDelay = Milliseconds(0, 800),
                UpscalingFactor = Factors[random.Next(Factors.Length)],
                DownscalingFactor = Factors[random.Next(Factors.Length)],
                Aggregation = (AggregationFunction)random.Next(3),
                Policy = random.Next(2) == 0 ? null : ControllerSimulationPolicy.Names[random.Next(ControllerSimulationPolicy.Names.Length)],
            },
        };
    }

    private TimeSpan Milliseconds(int from, int to) => TimeSpan.FromMilliseconds(random.Next(from, to));

    private DeploymentGoal Changed(DeploymentGoal goal) => random.Next(9) switch
    {
        0 => goal with { MaxOngoingRequests = random.Next(1, 5) },
        1 => goal with { MaxQueuedRequests = Queues[random.Next(Queues.Length)] },
        2 or 3 when goal.Autoscaling is null => goal with { NumReplicas = random.Next(1, 7) },
        2 or 3 or 6 => Scaled(goal),
        7 => goal with { NumCpus = Cpus[random.Next(Cpus.Length)], Weight = random.Next(1, 4) },
        4 or 5 => goal with { UserConfig = UserConfig() },
        _ => New(goal.Name) with { UserConfig = goal.UserConfig },
    };

    private string UserConfig() => $$"""{"v":{{random.Next(6)}}}""";

    private string? FreePrefix(List<ApplicationGoal> others)
    {
        string prefix = Prefixes[random.Next(Prefixes.Length)];
        return others.Any(o => o.RoutePrefix == prefix) ? null : prefix;
    }
}
