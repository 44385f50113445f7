namespace Serve.Embedded.Controller.Scaling;

/// <summary>In which direction the number of replicas is wished to go.</summary>
internal enum ScalingWish
{
    None,
    Up,
    Down,
}

/// <summary>One time on two clocks: one that only ever goes forward, for delays, and the calendar, for people.</summary>
/// <param name="Elapsed">Since some beginning, the same for all calls.</param>
/// <param name="Utc">By the calendar.</param>
internal readonly record struct ScalingTime(TimeSpan Elapsed, DateTimeOffset Utc);

/// <summary>What the autoscaler remembers of one deployment from one decision to the next.</summary>
internal sealed record AutoscalingState
{
    /// <summary>Replicas that there shall be, as far as the deployment itself is concerned; what the box allows is decided afterwards.</summary>
    public required int Target { get; init; }

    /// <summary>Which way the last decision would have gone, had it not had to wait.</summary>
    public ScalingWish Wish { get; init; }

    /// <summary>Since when, without a break, it has been <see cref="Wish"/>.</summary>
    public TimeSpan WishSince { get; init; }

    /// <summary>What the policy wished for last, before factors, delays and bounds.</summary>
    public double Desired { get; init; }

    public DateTimeOffset? LastScaleUp { get; init; }

    public DateTimeOffset? LastScaleDown { get; init; }

    /// <summary>Handed from one call of a custom policy to the next.</summary>
    public object? PolicyState { get; init; }

    /// <summary>In a sentence, why the policy's last answer could not be used; <see langword="null"/> = it could.</summary>
    public string? Trouble { get; init; }

    /// <summary>
    /// At a deploy: <c>initial_replicas</c> if somebody chose it, else as many as there shall be already, else <c>min_replicas</c>.
    /// </summary>
    /// <param name="goal">The new goal.</param>
    /// <param name="before">What was remembered; <see langword="null"/> = the deployment is new, or a fixed number decided.</param>
    /// <param name="replicas">The fixed number that decided until now; <see langword="null"/> = none did.</param>
    public static AutoscalingState Deploy(AutoscalingGoal goal, AutoscalingState? before, int? replicas = null)
    {
        int target = Math.Clamp(goal.InitialReplicas ?? before?.Target ?? replicas ?? goal.MinReplicas, goal.MinReplicas, goal.MaxReplicas);
        return before is null ? new() { Target = target, Desired = target } : before with { Target = target, Wish = ScalingWish.None, Trouble = null };
    }
}
