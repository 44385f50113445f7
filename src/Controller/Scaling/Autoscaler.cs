namespace Serve.Embedded.Controller.Scaling;

/// <summary>What the autoscaler sees of one deployment.</summary>
/// <param name="Application">Its application's name.</param>
/// <param name="Deployment">Its name.</param>
/// <param name="CurrentReplicas">Replicas that take requests.</param>
/// <param name="Load">Its demand.</param>
internal readonly record struct ObservedLoad(string Application, string Deployment, int CurrentReplicas, LoadReading Load);

/// <summary>
/// How many replicas a deployment shall have, from its load, what was decided before, and the time: a pure function, with no clock, thread or I/O but what a custom policy does.
/// </summary>
/// <remarks>
/// Ray Serve's steps, the same for its own policy and for custom ones: the policy's wish; the factor, which goes only part of the way; the delay, during which the wish must not turn; the bounds.
/// Nobody waits for a first replica: where the target is 0 and somebody asks, it acts at once.
/// </remarks>
internal static class Autoscaler
{
    /// <summary>A number that is whole but for its last bits must not be rounded up to the next.</summary>
    private const double RoundingNoise = 1e-9;

    /// <param name="goal">The deployment's bounds, delays and factors.</param>
    /// <param name="state">What the last decision left.</param>
    /// <param name="observed">What is.</param>
    /// <param name="now">The time.</param>
    /// <param name="policy">The custom policy that <see cref="AutoscalingGoal.Policy"/> names; <see langword="null"/> = the built-in one.</param>
    public static AutoscalingState Decide(AutoscalingGoal goal, AutoscalingState state, ObservedLoad observed, ScalingTime now, IAutoscalingPolicy? policy = null)
    {
        (double? desired, object? policyState, string? trouble) = Ask(goal, state, observed, now, policy);
        int wished = desired is double some ? Scaled(goal, observed.CurrentReplicas, state.Target, some) : state.Target;
        AutoscalingState next = state with { Desired = desired ?? state.Desired, PolicyState = policyState, Trouble = trouble };
        bool wakes = observed.Load.IsAsked && (state.Target == 0 || (goal.Policy is null && observed.CurrentReplicas == 0));
        next = wakes
            ? next with { Target = Math.Max(wished, Ceiling(goal.UpscalingFactor)), Wish = ScalingWish.None }
            : AfterDelay(goal, next, wished, now.Elapsed);

        // A policy that wishes for none while somebody waits for the first would start and stop it in turn.
        int fewest = observed is { CurrentReplicas: 0, Load.IsAsked: true } ? Math.Max(1, goal.MinReplicas) : goal.MinReplicas;
        int target = Math.Clamp(next.Target, fewest, goal.MaxReplicas);
        return next with
        {
            Target = target,
            LastScaleUp = target > state.Target ? now.Utc : state.LastScaleUp,
            LastScaleDown = target < state.Target ? now.Utc : state.LastScaleDown,
        };
    }

    /// <summary>The policy's wish; <see langword="null"/> = it has none that can be used.</summary>
    private static (double? Desired, object? State, string? Trouble) Ask(
        AutoscalingGoal goal, AutoscalingState state, ObservedLoad observed, ScalingTime now, IAutoscalingPolicy? policy)
    {
        if (goal.Policy is null)
        {
            // Those that are starting are waited for.
            return (observed.CurrentReplicas == 0 ? state.Target : observed.Load.Total / goal.TargetOngoingRequests, null, null);
        }

        if (policy is null)
        {
            return (null, state.PolicyState, $"No autoscaling policy '{goal.Policy}' is registered; the number of replicas stays at {state.Target}.");
        }

        try
        {
            AutoscalingDecision decision = policy.Decide(Context(goal, state, observed, now));
            return double.IsFinite(decision.Replicas) && decision.Replicas >= 0
                ? (decision.Replicas, decision.State, null)
                : (null, state.PolicyState, $"Autoscaling policy '{goal.Policy}' wished for {decision.Replicas} replicas, which is no number of replicas; it stays at {state.Target}.");
        }
#pragma warning disable CA1031 // The policy is somebody else's code, and the loop that asks it serves every deployment.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            return (null, state.PolicyState, $"Autoscaling policy '{goal.Policy}' failed with {exception.GetType().Name}: {exception.Message} The number of replicas stays at {state.Target}.");
        }
    }

    private static AutoscalingContext Context(AutoscalingGoal goal, AutoscalingState state, ObservedLoad observed, ScalingTime now) => new()
    {
        Application = observed.Application,
        Deployment = observed.Deployment,
        CurrentReplicas = observed.CurrentReplicas,
        TargetReplicas = state.Target,
        TotalRequests = observed.Load.Total,
        OngoingRequests = observed.Load.Ongoing,
        QueuedRequests = observed.Load.Queued,
        RefusedPerSecond = observed.Load.RefusedPerSecond,
        TargetOngoingRequests = goal.TargetOngoingRequests,
        MinReplicas = goal.MinReplicas,
        MaxReplicas = goal.MaxReplicas,
        LastScaleUp = state.LastScaleUp,
        LastScaleDown = state.LastScaleDown,
        Now = now.Utc,
        State = state.PolicyState,
    };

    /// <summary>Part of the way from what runs to what is wished for.</summary>
    private static int Scaled(AutoscalingGoal goal, int current, int target, double desired)
    {
        int whole = Ceiling(desired);
        if (current == 0)
        {
            return whole;
        }

        int scaled = Ceiling(current + ((desired > current ? goal.UpscalingFactor : goal.DownscalingFactor) * (desired - current)));
        if (scaled == current && whole < current)
        {
            // A small factor must not hold it for ever where rounding alone keeps it.
            return current - 1;
        }

        // While replicas are starting a part of the way from those that run may be less than the target. That is no wish for fewer.
        return scaled < target && whole >= target ? target : scaled;
    }

    private static AutoscalingState AfterDelay(AutoscalingGoal goal, AutoscalingState state, int wished, TimeSpan now)
    {
        ScalingWish wish = wished > state.Target ? ScalingWish.Up : wished < state.Target ? ScalingWish.Down : ScalingWish.None;
        if (wish == ScalingWish.None)
        {
            return state with { Wish = ScalingWish.None };
        }

        TimeSpan since = wish == state.Wish ? state.WishSince : now;
        TimeSpan delay =
            wish == ScalingWish.Down ? (state.Target == 1 ? goal.DownscaleToZeroDelay : goal.DownscaleDelay)
            : state.Target == 0 ? TimeSpan.Zero
            : goal.UpscaleDelay;
        if (now - since < delay)
        {
            return state with { Wish = wish, WishSince = since };
        }

        // The last replica has a delay of its own, which only begins when it is the last.
        return state with { Target = wished == 0 && state.Target > 1 ? 1 : wished, Wish = ScalingWish.None };
    }

    private static int Ceiling(double value) => (int)Math.Min(Math.Ceiling(value - RoundingNoise), 1_000_000);
}
