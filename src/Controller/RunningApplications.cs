using Microsoft.Extensions.Logging;
using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Deployments;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller;

/// <summary>
/// Every application that runs, and what is on its way out of service. Which deployments there are, and what they are to be, changes here alone, so that the box is shared anew whenever it does.
/// Only the controller's loop touches it.
/// </summary>
/// <param name="code">Finds what an application is made from.</param>
/// <param name="environment">Clock and chance.</param>
/// <param name="logger">Told what becomes of applications.</param>
/// <param name="scaling">Shares the box before any replica starts.</param>
internal sealed class RunningApplications(Func<ApplicationGoal, ApplicationDefinition> code, ServeEnvironment environment, ILogger logger, ScalingRound scaling)
{
    private readonly Dictionary<string, ApplicationState> _byName = new(StringComparer.Ordinal);
    private readonly List<Departure> _departures = [];

    public Dictionary<string, ApplicationState>.ValueCollection All => _byName.Values;

    /// <summary>Those that shall have replicas.</summary>
    public IEnumerable<DeploymentState> Deployments =>
        All.SelectMany(a => a.Coming is { } coming ? a.Serving.Deployments.Concat(coming.Deployments) : a.Serving.Deployments);

    public IReadOnlyList<Departure> Departures => _departures;

    public ApplicationState? Find(string name) => _byName.GetValueOrDefault(name);

    public void MarkDirty(DeploymentState deployment)
    {
        if (Find(deployment.Served.Application) is { } application)
        {
            application.IsDirty = true;
        }
    }

    /// <summary>What the operator wants an application to be.</summary>
    public void Take(ApplicationGoal goal, bool force)
    {
        ApplicationDefinition definition = code(goal);
        if (Find(goal.Name) is not { } application)
        {
            _byName[goal.Name] = new(goal, new(goal, definition, environment), environment.Time.GetUtcNow());
            scaling.ShareAgain();
            return;
        }

        application.IsDirty = true;
        if (application.Wanted != goal || force)
        {
            application.Want(goal, environment.Time.GetUtcNow());
            Pursue(application, definition, rollsBack: false);
            if (force)
            {
                RetryNow(application);
            }
        }
        else if (application.Failure is { } failure)
        {
            Log.NotTriedAgain(logger, goal.Name, failure);
        }
        else if (application.Serving.HasFailed)
        {
            RetryNow(application);
        }
    }

    /// <summary>What is pursued has failed: back to what was good.</summary>
    public void RollBack(ApplicationState application)
    {
        ApplicationGoal good = application.Good!;
        string failure = Reconciler.WhyFailed(application);
        Log.RevisionFailed(logger, application.Name, good.Code.ToString(), failure);
        application.RollBack(failure);
        Pursue(application, code(good), rollsBack: true);
    }

    /// <summary>Back to where it was, although it has not failed itself.</summary>
    public void Undo(ApplicationState application, ApplicationGoal before, string failure)
    {
        application.Undo(before, failure);
        Pursue(application, code(before), rollsBack: true);
    }

    /// <summary>A revision that is up takes over, and the old one finishes what it has admitted.</summary>
    public void Promote(ApplicationState application)
    {
        if (application.Coming is not { } coming || (!coming.IsAtGoal && application.Good is not null))
        {
            return;
        }

        Depart(application.Serving.Deployments);
        application.Serving = coming;
        application.Coming = null;
        application.IsDirty = true;
    }

    /// <summary>The goal is reached: nobody calls any more what it no longer has.</summary>
    public void Settle(ApplicationState application)
    {
        Reconciler.Settle(application);
        Depart(application.Leaving);
        application.Leaving.Clear();
    }

    public void Remove(ApplicationState application)
    {
        TakeOut(application);
        Log.ApplicationRemoved(logger, application.Name);
    }

    /// <summary>The server ends, and has said so: nobody has removed anything.</summary>
    public void TakeOutAll() => All.ToList().ForEach(TakeOut);

    /// <summary>Carries what is on its way out on, and forgets what has left.</summary>
    public void CarryOut(Predicate<Departure> hasLeft) => _departures.RemoveAll(hasLeft);

    /// <summary>Sets out for the application's goal.</summary>
    private void Pursue(ApplicationState application, ApplicationDefinition definition, bool rollsBack)
    {
        scaling.ShareAgain();
        ApplicationGoal goal = application.Goal;
        if (application.Serving.CanBecome(definition))
        {
            Depart(application.Coming?.Deployments);
            application.Coming = null;
            application.Serving.Take(goal, definition, rollsBack, application.Leaving);
        }
        else if (application.Coming?.CanBecome(definition) == true)
        {
            List<DeploymentState> leaving = [];
            application.Coming.Take(goal, definition, rollsBack, leaving);
            Depart(leaving);
        }
        else
        {
            Depart(application.Coming?.Deployments);
            application.Coming = new(goal, definition, environment);
        }
    }

    private void TakeOut(ApplicationState application)
    {
        _byName.Remove(application.Name);
        Depart(application.Serving.Deployments);
        Depart(application.Coming?.Deployments);
        Depart(application.Leaving);
    }

    /// <summary>The operator asks again: perhaps what was missing is there now.</summary>
    private static void RetryNow(ApplicationState application)
    {
        foreach (DeploymentState deployment in (application.Coming ?? application.Serving).Deployments)
        {
            deployment.RetryNow();
        }
    }

    /// <summary>Takes deployments out of service: who was admitted is served, then their replicas end, callers before callees.</summary>
    private void Depart(IReadOnlyList<DeploymentState>? deployments)
    {
        if (deployments is { Count: > 0 })
        {
            _departures.Add(Departure.Of(deployments));
            scaling.ShareAgain();
        }
    }
}
