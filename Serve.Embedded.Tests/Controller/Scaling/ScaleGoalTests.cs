using Serve.Embedded.Config;
using Serve.Embedded.Controller.Scaling;

namespace Serve.Embedded.Tests.Controller.Scaling;

public sealed class ScaleGoalTests
{
    private static readonly DeploymentOptions Three = new() { NumReplicas = 3 };

    private static readonly DeploymentOptions Scaled = new() { Autoscaling = new() { MinReplicas = 2, MaxReplicas = 6, UpscaleDelay = TimeSpan.FromSeconds(1) } };

    private static readonly DeploymentConfig Nothing = new() { Name = "One" };

    [Fact]
    public void Of_NothingWritten_IsWhatTheCodeSays()
    {
        Assert.Equal(new ScaleGoal(3, null), ScaleGoal.Of(null, Three));
        Assert.Equal(new ScaleGoal(3, null), ScaleGoal.Of(Nothing, Three));
        ScaleGoal scaled = ScaleGoal.Of(Nothing, Scaled);
        Assert.Equal((2, 2, 6, false, 1.0), (scaled.NumReplicas, scaled.Autoscaling!.MinReplicas, scaled.Autoscaling.MaxReplicas, scaled.Autoscaling.IsMaxOpen, scaled.Autoscaling.UpscaleDelay.TotalSeconds));
    }

    [Fact]
    public void Of_NumberWritten_TakesThePlaceOfTheCodesAutoscaling() =>
        Assert.Equal(new ScaleGoal(4, null), ScaleGoal.Of(Nothing with { NumReplicas = 4 }, Scaled));

    /// <summary>Contract 1.6: min 1, max 100, target 2, overlaid by what is written.</summary>
    [Fact]
    public void Of_Auto_IsFromOneToAHundredOverlaidByWhatIsWritten()
    {
        DeploymentConfig auto = Nothing with { NumReplicas = ReplicaCount.Auto };

        Assert.Equal(new ScaleGoal(1, new() { MaxReplicas = 100, IsMaxOpen = true }), ScaleGoal.Of(auto, Three));
        Assert.Equal(
            new ScaleGoal(0, new() { MinReplicas = 0, MaxReplicas = 100, IsMaxOpen = true, UpscalingFactor = 0.5 }),
            ScaleGoal.Of(auto with { Autoscaling = new() { MinReplicas = 0, UpscalingFactor = 0.5 } }, Three));
        Assert.Equal(
            new ScaleGoal(1, new() { MaxReplicas = 7 }),
            ScaleGoal.Of(auto with { Autoscaling = new() { MaxReplicas = 7 } }, Three));
    }

    [Fact]
    public void Of_AutoWrittenAndAutoscalingInCode_IsTheCodes() =>
        Assert.Equal(ScaleGoal.Of(null, Scaled), ScaleGoal.Of(Nothing with { NumReplicas = ReplicaCount.Auto }, Scaled));

    [Fact]
    public void Of_AutoscalingWritten_TakesThePlaceOfTheCodesAsAWhole() =>
        Assert.Equal(
            new ScaleGoal(1, new() { MaxReplicas = 1, DownscaleDelay = TimeSpan.FromSeconds(9), DownscaleToZeroDelay = TimeSpan.FromSeconds(9) }),
            ScaleGoal.Of(Nothing with { Autoscaling = new() { DownscaleDelay = TimeSpan.FromSeconds(9) } }, Scaled));

    [Fact]
    public void Of_EveryKey_Arrives() =>
        Assert.Equal(
            new AutoscalingGoal
            {
                MinReplicas = 2, InitialReplicas = 3, MaxReplicas = 4, TargetOngoingRequests = 5, LookBackPeriod = TimeSpan.FromSeconds(6), UpscaleDelay = TimeSpan.FromSeconds(7),
                DownscaleDelay = TimeSpan.FromSeconds(8), DownscaleToZeroDelay = TimeSpan.FromSeconds(9), UpscalingFactor = 10, DownscalingFactor = 11, Aggregation = AggregationFunction.Max, Policy = "queue",
            },
            AutoscalingGoal.Of(new AutoscalingConfig
            {
                MinReplicas = 2, InitialReplicas = 3, MaxReplicas = 4, TargetOngoingRequests = 5, LookBackPeriod = TimeSpan.FromSeconds(6), UpscaleDelay = TimeSpan.FromSeconds(7),
                DownscaleDelay = TimeSpan.FromSeconds(8), DownscaleToZeroDelay = TimeSpan.FromSeconds(9), UpscalingFactor = 10, DownscalingFactor = 11, Aggregation = AggregationFunction.Max, Policy = "queue",
            }, isAuto: true));

    [Fact]
    public void Of_EveryOptionOfTheCode_Arrives() =>
        Assert.Equal(
            new AutoscalingGoal
            {
                MinReplicas = 2, InitialReplicas = 3, MaxReplicas = 4, TargetOngoingRequests = 5, LookBackPeriod = TimeSpan.FromSeconds(6), UpscaleDelay = TimeSpan.FromSeconds(7),
                DownscaleDelay = TimeSpan.FromSeconds(8), DownscaleToZeroDelay = TimeSpan.FromSeconds(9), UpscalingFactor = 10, DownscalingFactor = 11, Aggregation = AggregationFunction.Max, Policy = "queue",
            },
            AutoscalingGoal.Of(new AutoscalingOptions
            {
                MinReplicas = 2, InitialReplicas = 3, MaxReplicas = 4, TargetOngoingRequests = 5, LookBackPeriod = TimeSpan.FromSeconds(6), UpscaleDelay = TimeSpan.FromSeconds(7),
                DownscaleDelay = TimeSpan.FromSeconds(8), DownscaleToZeroDelay = TimeSpan.FromSeconds(9), UpscalingFactor = 10, DownscalingFactor = 11, Aggregation = AggregationFunction.Max, Policy = "queue",
            }));

    [Theory]
    [InlineData(1, null, 100, 100)]
    [InlineData(1, null, 4, 4)]
    [InlineData(1, null, 0, 1)]
    [InlineData(6, null, 4, 6)]
    [InlineData(1, 8, 4, 8)]
    public void CutTo_OpenTop_IsWhatTheBoxHoldsAndNotLessThanWasAskedFor(int min, int? initial, int holds, int expected) =>
        Assert.Equal(expected, new AutoscalingGoal { MinReplicas = min, InitialReplicas = initial, MaxReplicas = 100, IsMaxOpen = true }.CutTo(holds).MaxReplicas);

    [Fact]
    public void CutTo_ChosenTop_Stays() => Assert.Equal(10, new AutoscalingGoal { MaxReplicas = 10 }.CutTo(4).MaxReplicas);
}
