using Microsoft.Extensions.Logging;
using Serve.Embedded.Admin;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting;

/// <summary>
/// The one road on which a goal reaches the server, whoever sends it: it becomes a generation, is applied, and how that ends is written down. The last writer wins. Safe for all threads.
/// </summary>
internal sealed class Deployer(Server server, ConfigSource source, GenerationStore store, ILogger logger, Action shutdown) : IAdminControl
{
    /// <summary>Goals are taken one after the other.</summary>
    private readonly SemaphoreSlim _turn = new(1);
    private ServeConfig _goal = server.Config;
    private string? _fallback;

    public IReadOnlyList<Generation> Generations => store.All;

    public AdminView View
    {
        get
        {
            ServeConfig goal = Volatile.Read(ref _goal);
            Generation? current = store.Current;
            return new(goal, server.Config, server.Status, current, [.. Notices(goal, current)], server.IsDraining, server.ConnectionCount);
        }
    }

    public ConfigResult Read(ReadOnlySpan<byte> utf8, bool isJson, string name) => source.Read(utf8, isJson, name, Volatile.Read(ref _goal));

    public async Task<Generation> DeployAsync(ServeConfig config, bool force, bool atomic) =>
        (await DeployAsync(config, GenerationSource.Rest, force: force, atomic: atomic)).Generation;

    public async Task<Generation> RollbackAsync(int? number)
    {
        Generation to = number is { } asked
            ? store.Find(asked) ?? throw new AdminRefusedException($"There is no generation {asked}. 'serve history' lists those that are kept.")
            : (store.Current is { } current ? store.GoodBefore(current.Number) : null)
                ?? throw new AdminRefusedException("There is no good generation before the one that runs. 'serve history' lists those that are kept.");
        ConfigResult read = to.Read(source.Catalog);
        return read.IsValid
            ? (await DeployAsync(read.Config, GenerationSource.Rest, restoredFrom: to.Number, force: true)).Generation
            : throw new AdminRefusedException($"Generation {to.Number} is no longer valid here: {string.Join(" ", read.Errors)}");
    }

    public async Task ScaleAsync(string application, string deployment, int replicas)
    {
        await _turn.WaitAsync();
        try
        {
            ServeConfig goal = _goal;
            int index = goal.Applications.ToList().FindIndex(a => a.Name == application);
            if (index < 0 || !source.Catalog.DeploymentsOf(goal.Applications[index]).Contains(deployment))
            {
                throw new AdminRefusedException($"There is no deployment '{deployment}' in an application '{application}'. 'serve status' lists them.");
            }

            ApplicationConfig written = goal.Applications[index];
            DeploymentReport? report = server.Status.Applications.FirstOrDefault(a => a.Name == application)?.Deployments.FirstOrDefault(d => d.Goal.Name == deployment);
            if (report?.Goal.Autoscaling is not null)
            {
                throw new AdminRefusedException($"Deployment '{deployment}' of application '{application}' scales with its load. Change its autoscaling_config, or give it a number of replicas first.", statusCode: 412);
            }

            if (replicas == 0)
            {
                throw new AdminRefusedException("target_num_replicas must be at least 1 here. To go to zero when nobody asks, give the deployment an autoscaling_config with min_replicas = 0.");
            }

            DeploymentConfig options = written.Deployments.FirstOrDefault(d => d.Name == deployment) ?? new() { Name = deployment };
            ApplicationConfig scaled = written with { Deployments = [.. written.Deployments.Where(d => d.Name != deployment), options with { NumReplicas = replicas }] };
            await DeployInTurnAsync(
                goal with { Applications = [.. goal.Applications.Select((a, i) => i == index ? scaled : a)] }, GenerationSource.Rest, force: false, atomic: false, restoredFrom: null);
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Shutdown() => shutdown();

    /// <summary>Makes a valid configuration the goal.</summary>
    /// <returns>Its generation, and how it goes.</returns>
    public async Task<(Generation Generation, ApplyRequest Request)> DeployAsync(
        ServeConfig config, GenerationSource from, bool force = false, bool atomic = false, int? restoredFrom = null)
    {
        await _turn.WaitAsync();
        try
        {
            return await DeployInTurnAsync(config, from, force, atomic, restoredFrom);
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<(Generation Generation, ApplyRequest Request)> DeployInTurnAsync(ServeConfig config, GenerationSource from, bool force, bool atomic, int? restoredFrom)
    {
        // What a file of Python declares is part of the goal, so it is read first.
        string? kept = restoredFrom is { } number ? store.Find(number)?.Code : null;
        IReadOnlyDictionary<PythonSource, PythonCode> code = await server.ReadCodeAsync(config, kept);
        foreach (string warning in code.Values.SelectMany(c => c.Warnings))
        {
            Log.ConfigWarning(logger, warning);
        }

        string? path = from is GenerationSource.File or GenerationSource.Hangup ? source.Path : null;
        Generation generation = store.Add(config, from, path, restoredFrom, PythonCodeText.Write(code));
        foreach (Generation pending in store.All.Where(g => g.Outcome == GenerationOutcome.Pending && g.Number != generation.Number))
        {
            store.MarkSuperseded(pending.Number, $"generation {generation.Number} took its place");
        }

        Volatile.Write(ref _goal, config);
        Volatile.Write(ref _fallback, null);
        ApplyRequest request = server.Apply(config, code, force, atomic);
        _ = MarkAsync(generation.Number, request);
        return (generation, request);
    }

    /// <summary>Goes to the last good generation, if there is one that is still valid, because the file cannot be served.</summary>
    public async Task FallBackAsync(string why)
    {
        // The one that has just failed may have been good once: it is not what to go back to.
        Generation? good = store.Current is { } current ? store.GoodBefore(current.Number) : null;
        if (good is null || good.Read(source.Catalog) is not { IsValid: true } read)
        {
            Log.NoFallback(logger, why);
            return;
        }

        (_, ApplyRequest request) = await DeployAsync(read.Config, GenerationSource.File, restoredFrom: good.Number);
        NoteFallback(why);
        await request.Settled;
    }

    /// <summary>What runs is a generation, because the file cannot be served: said in the log, and in the status until there is another goal.</summary>
    public void NoteFallback(string why)
    {
        int number = store.Current!.RestoredFrom ?? store.Current.Number;
        Log.FallsBack(logger, number, why);
        Volatile.Write(ref _fallback, $"The server fell back to generation {number}: {why}");
    }

    private async Task MarkAsync(int number, ApplyRequest request)
    {
        ApplyOutcome outcome = await request.Settled;
        if (outcome.Failures.Count == 0)
        {
            store.MarkGood(number);
            return;
        }

        foreach (string failure in outcome.Failures)
        {
            Log.DeployFailed(logger, failure);
        }

        store.MarkFailed(number, string.Join(" ", outcome.Failures));
        await request.Recovered;
        store.MarkGood(number);
    }

    private IEnumerable<string> Notices(ServeConfig goal, Generation? current)
    {
        if (Volatile.Read(ref _fallback) is { } fallback)
        {
            yield return fallback;
        }

        if (source.DiffersFrom(goal) is { } difference)
        {
            yield return $"What runs is not what {source.Path} says: {difference} The goal is generation {current?.Number} ({current?.Source.ToString().ToLowerInvariant()}). SIGHUP makes the file the goal.";
        }

        if (store.Trouble is { } trouble)
        {
            yield return trouble;
        }
    }
}
