using Serve.Embedded.Controller;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>Looks at everything that there is, after each event.</summary>
internal sealed class ControllerSimulationChecks(ControllerSimulationWorld world)
{
    public ControllerSimulationScaling Scaling { get; } = new(world);

    /// <summary>Replicas that were ever admitted.</summary>
    public long Seen { get; private set; }

    public void AfterEvent()
    {
        foreach ((DeploymentState deployment, List<SimulatedReplica> replicas) in world.Deployments)
        {
            Check(deployment, replicas);
        }
    }

    /// <summary>The controller has done something.</summary>
    public void AfterStep(IReadOnlyCollection<DeploymentState> wanted, ControllerStatus status)
    {
        Scaling.AfterStep(wanted);
        world.LeftOut.RemoveWhere(gate => gate.Replicas.Length > 0);
        world.LeftOut.UnionWith(wanted.Where(d => d.IsLeftOut).Select(d => d.Served.Gate));
        foreach ((DeploymentState deployment, List<SimulatedReplica> replicas) in world.Deployments)
        {
            foreach (SimulatedReplica replica in replicas)
            {
                if (!replica.WasAdmitted && replica.Replica.State.TakesRequests())
                {
                    replica.WasAdmitted = true;
                    Seen++;
                    ReplicaEntry? entry = deployment.Find(replica.Replica);

                    // In the same step it may have completed an atomic deploy, that another application has made fail.
                    world.Check(
                        entry?.Code == deployment.Code || WasUndone(deployment, status), Invariant.FailedNeverServes,
                        () => $"Replica {replica.Replica.Id} of {entry?.Code.Application.ImportPath} was admitted while {deployment.Code.Application.ImportPath} is wanted.");
                }
            }

            if (deployment.Retirement == Retirement.Ended && replicas.Count == 0)
            {
                world.Deployments.Remove(deployment);
            }
        }
    }

    /// <summary>Whether every application runs as its own report says it shall; <see langword="null"/> = yes.</summary>
    public string? WhyNotSelfConsistent(ControllerStatus status)
    {
        foreach (ApplicationReport application in status.Applications)
        {
            foreach (DeploymentReport deployment in application.Deployments)
            {
                if (WhyNot(application, deployment) is { } why)
                {
                    return why;
                }
            }
        }

        return world.Deployments.Values.Sum(r => r.Count) != status.Applications.SelectMany(a => a.Deployments).Sum(d => d.Replicas.Count)
            ? "there are replicas that no report knows"
            : null;
    }

    /// <summary>Whether an application runs as this goal says; <see langword="null"/> = yes.</summary>
    public string? WhyNot(ApplicationReport application, ApplicationGoal goal)
    {
        ServedApplication? served = world.Serving.Current.Applications.FirstOrDefault(a => a.Name == goal.Name);
        return application.Status != ApplicationStatus.Running ? $"'{goal.Name}' is {application.Status}: {application.Message}"
            : application.ImportPath != goal.Code.ImportPath ? $"'{goal.Name}' is {application.ImportPath} and not {goal.Code.ImportPath}"
            : !application.Deployments.Select(d => d.Goal).SequenceEqual(goal.Deployments) ? $"'{goal.Name}' has other goals"
            : served?.RoutePrefix != goal.RoutePrefix || served?.RequestTimeout != goal.RequestTimeout ? $"'{goal.Name}' is served at {served?.RoutePrefix} and not {goal.RoutePrefix}"
            : application.Deployments.FirstOrDefault(d => d.Served.Limits != DeploymentState.LimitsOf(d.Goal)) is { } limited ? $"the limits of '{limited.Goal.Name}' are not in force"
            : null;
    }

    public string Describe(ControllerStatus status) => string.Join(
        "; ",
        status.Applications.Select(a => $"{a.Name} {a.ImportPath} {a.Status} {a.Message} " + string.Join(
            ", ",
            a.Deployments.Select(d => $"{d.Goal.Name} {d.Status}/{d.Trigger} wants {d.NumReplicas} x {d.Goal.MaxOngoingRequests} {d.Goal.UserConfig} {d.HeldBack}, has " +
                string.Join(' ', d.Replicas.Select(r => $"{r.Id}:{r.State}:{r.Permits.Limit}:{world.Replicas.GetValueOrDefault(r)?.Handler?.UserConfig}"))))));

    private string? WhyNot(ApplicationReport application, DeploymentReport deployment)
    {
        string name = $"'{application.Name}/{deployment.Goal.Name}'";
        if (application.Status == ApplicationStatus.Deleting)
        {
            return $"{name} is being deleted";
        }

        if (deployment.Replicas.Count != deployment.NumReplicas)
        {
            return $"{name} has {deployment.Replicas.Count} replicas and not {deployment.NumReplicas}";
        }

        if (Scaling.WhyNotAtRest(name, deployment) is { } why)
        {
            return why;
        }

        foreach (Replica replica in deployment.Replicas)
        {
            if (replica.State != ReplicaState.Running || replica.Permits.Limit != deployment.Goal.MaxOngoingRequests)
            {
                return $"replica {replica.Id} of {name} is {replica.State} with a limit of {replica.Permits.Limit}";
            }

            // A value that there is no way back from stays refused until the operator asks again.
            bool refused = deployment.Status == DeploymentStatus.DeployFailed && deployment.Trigger == StatusTrigger.ConfigUpdateFailed && application.Message.StartsWith("Failed to update", StringComparison.Ordinal);
            if (deployment.Goal.UserConfig is { } config && world.Replicas[replica].Handler!.UserConfig != config && !refused)
            {
                return $"replica {replica.Id} of {name} has the user_config {world.Replicas[replica].Handler!.UserConfig} and not {config}";
            }
        }

        bool neverGood = application.Status == ApplicationStatus.DeployFailed && application.Message.StartsWith("Failed to update", StringComparison.Ordinal);
        return neverGood || deployment.Replicas.Select(r => r.Rank).Order().SequenceEqual(Enumerable.Range(0, deployment.Replicas.Count))
            ? null
            : $"the ranks of {name} are {string.Join(", ", deployment.Replicas.Select(r => r.Rank))}";
    }

    private static bool WasUndone(DeploymentState deployment, ControllerStatus status) =>
        status.Applications.Any(a => a.Name == deployment.Served.Application && a.Message.StartsWith("Another application of the same atomic deploy failed", StringComparison.Ordinal));

    private void Check(DeploymentState deployment, List<SimulatedReplica> replicas)
    {
        AdmissionGate gate = deployment.Served.Gate;
        int free = 0;
        foreach (Replica replica in gate.Replicas)
        {
            free += replica.Permits.Free;
            if (!replica.State.TakesRequests() || !world.Replicas.ContainsKey(replica))
            {
                throw world.Fault(Invariant.OnlyRunningServe, $"Replica {replica.Id} is {replica.State} and still where requests are given out.");
            }
        }

        if (gate.Free != free)
        {
            throw world.Fault(Invariant.NoneLostOrRepeated, $"Of '{deployment.Name}' {gate.Free} permits may be claimed and {free} are free.");
        }

        if (gate.Waiting > 0 && free > 0)
        {
            throw world.Fault(Invariant.WorkConserving, $"{gate.Waiting} wait for '{deployment.Name}' while {free} permits are free.");
        }

        int ongoing = 0;
        foreach (SimulatedReplica replica in replicas)
        {
            ReplicaPermits permits = replica.Replica.Permits;
            ongoing += permits.Ongoing;
            if (permits.Ongoing != replica.Work.Count + replica.Granted || permits.Issued != permits.Free + permits.Ongoing)
            {
                throw world.Fault(
                    Invariant.NoneLostOrRepeated,
                    $"Replica {replica.Replica.Id} has {permits.Ongoing} ongoing requests, {permits.Issued} permits, {permits.Free} of them free, and in fact {replica.Work.Count} requests run on it and {replica.Granted} are about to.");
            }
        }

        long queued = 0;
        foreach (Handle handle in gate.Handles)
        {
            queued += handle.Queued;
        }

        RequestTotals totals = gate.Totals;
        long open = totals.Arrived - totals.Shed - totals.Ended;

        if (queued != gate.Waiting || open != queued + ongoing)
        {
            throw world.Fault(
                Invariant.NoneLostOrRepeated,
                $"Of '{deployment.Name}' {open} requests have arrived and not ended, {gate.Waiting} wait, {queued} are in queues and {ongoing} run.");
        }
    }
}
