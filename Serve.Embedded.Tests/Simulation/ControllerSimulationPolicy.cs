using Serve.Embedded.Controller.Scaling;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>Policies of a user's own. At rest each wishes for a number that is known.</summary>
internal sealed class ControllerSimulationPolicy(ControllerSimulationWorld world, string name) : IAutoscalingPolicy
{
    private const string Steady = "steady";
    private const string Follower = "follower";
    private const string Moody = "moody";

    public static readonly string[] Names = [Steady, Follower, Moody];

    public AutoscalingDecision Decide(AutoscalingContext context)
    {
        if (world.Heals || name != Moody)
        {
            return new(world.Sabotage.Wish(name == Follower ? context.TotalRequests : AtRest(name)), context.State);
        }

        // It fails, talks nonsense, or changes its mind.
        return world.Random.Next(6) switch
        {
            0 => throw new InvalidOperationException("It cannot decide."),
            1 => new(double.NaN),
            2 => new(-1),
            3 => new(double.MaxValue),
            _ => new(8 * world.Random.NextDouble(), context.Now),
        };
    }

    /// <summary>Replicas that a deployment wants when nobody asks and nothing fails.</summary>
    public static int AtRest(AutoscalingGoal goal) => Math.Clamp((int)Math.Ceiling(goal.Policy is { } policy ? AtRest(policy) : 0), goal.MinReplicas, goal.MaxReplicas);

    private static double AtRest(string policy) => policy switch
    {
        Steady => 1.5,
        Follower => 0,
        _ => 1,
    };
}
