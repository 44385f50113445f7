using Serve.Embedded.Deployments;

namespace Serve.Embedded.Tests.Deployments;

public sealed class DeploymentRegistryTests
{
    public static TheoryData<string, DeploymentOptions> BadOptions { get; } = new()
    {
        { "NumReplicas says how many", new() { NumReplicas = 2, Autoscaling = new() } },
        { "MinReplicas, -1,", new() { Autoscaling = new() { MinReplicas = -1 } } },
        { "MinReplicas, 3, must be from 0 to MaxReplicas, 2", new() { Autoscaling = new() { MinReplicas = 3, MaxReplicas = 2 } } },
        { "MinReplicas, 101, must be from 0 to MaxReplicas, 100", new() { Autoscaling = new() { MinReplicas = 101 } } },
        { "MinReplicas, 0, must be from 0 to MaxReplicas, 0, and that 1 or more", new() { Autoscaling = new() { MinReplicas = 0, MaxReplicas = 0 } } },
        { "InitialReplicas, 5,", new() { Autoscaling = new() { MaxReplicas = 4, InitialReplicas = 5 } } },
        { "InitialReplicas, 0,", new() { Autoscaling = new() { InitialReplicas = 0 } } },
        { "TargetOngoingRequests", new() { Autoscaling = new() { TargetOngoingRequests = 0 } } },
        { "UpscalingFactor", new() { Autoscaling = new() { UpscalingFactor = double.NaN } } },
        { "DownscalingFactor", new() { Autoscaling = new() { DownscalingFactor = 0 } } },
        { "LookBackPeriod", new() { Autoscaling = new() { LookBackPeriod = TimeSpan.Zero } } },
        { "delay", new() { Autoscaling = new() { UpscaleDelay = TimeSpan.FromSeconds(-1) } } },
        { "delay", new() { Autoscaling = new() { DownscaleDelay = TimeSpan.FromSeconds(-1) } } },
        { "delay", new() { Autoscaling = new() { DownscaleToZeroDelay = TimeSpan.FromSeconds(-1) } } },
        { "No autoscaling policy 'later' is registered", new() { Autoscaling = new() { Policy = "later" } } },
    };

    [Theory]
    [MemberData(nameof(BadOptions))]
    public void AddApplication_AutoscalingThatContradictsItself_IsRefused(string expected, DeploymentOptions options)
    {
        ArgumentException refusal = Assert.Throws<ArgumentException>(() => Add(new DeploymentRegistry(), options));

        Assert.StartsWith("Deployment 'One' of application 'test:app': ", refusal.Message, StringComparison.Ordinal);
        Assert.Contains(expected, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AddApplication_PolicyRegisteredBefore_IsTaken()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddAutoscalingPolicy("later", new Never());

        Add(registry, new() { Autoscaling = new() { MinReplicas = 0, InitialReplicas = 100, Policy = "later" } });

        Assert.Equal("later", registry.Applications["test:app"].Ingress.Options.Autoscaling!.Policy);
    }

    [Fact]
    public void AddAutoscalingPolicy_NameTakenOrMalformed_IsRefused()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddAutoscalingPolicy("queue", new Never());

        Assert.Contains("registered twice", Assert.Throws<ArgumentException>(() => registry.AddAutoscalingPolicy("queue", new Never())).Message, StringComparison.Ordinal);
        Assert.Contains("it has the character ' '", Assert.Throws<ArgumentException>(() => registry.AddAutoscalingPolicy("my queue", new Never())).Message, StringComparison.Ordinal);
    }

    private static void Add(DeploymentRegistry registry, DeploymentOptions options) =>
        registry.AddApplication("test:app", app => app.AddHttp("One", _ => new EchoDeployment(), options));

    private sealed class Never : IAutoscalingPolicy
    {
        public AutoscalingDecision Decide(AutoscalingContext context) => throw new NotSupportedException();
    }
}
