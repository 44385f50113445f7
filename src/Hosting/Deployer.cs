using Microsoft.AspNetCore.Http;
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
    private bool _refused;

    /// <summary>What is pursued, and what its files of Python declare: known in turn.</summary>
    private (int Number, ApplyRequest Request)? _pursued;
    private IReadOnlyDictionary<PythonSource, PythonCode> _code = new Dictionary<PythonSource, PythonCode>();

    public IReadOnlyList<Generation> Generations => store.All;

    public ServeTelemetry Telemetry => server.Telemetry;

    public AdminView View
    {
        get
        {
            ServeConfig goal = Volatile.Read(ref _goal);
            Generation? current = store.Current;
            return new(goal, server.Config, server.Status, current, [.. Notices(goal, current)], server.IsDraining, server.ConnectionCount, server.CountBusyConnections(), Reload, server.StartedAt, server.Now);
        }
    }

    /// <summary>What has not ended yet says nothing: what ended before it does.</summary>
    private ReloadReport Reload => new(
        !Volatile.Read(ref _refused) && Volatile.Read(ref _fallback) is null &&
        store.All.LastOrDefault(static g => g.Outcome is GenerationOutcome.Good or GenerationOutcome.Failed) is not { Outcome: GenerationOutcome.Failed },
        store.LastGood?.EndedAt);

    public ConfigResult Read(ReadOnlySpan<byte> utf8, bool isJson, string name, string? folder) => source.Read(utf8, isJson, name, folder, Volatile.Read(ref _goal));

    public async Task<Generation> DeployAsync(ServeConfig config, bool force, bool atomic)
    {
        RefuseWhileStopping();
        return (await DeployAsync(config, GenerationSource.Rest, force: force, atomic: atomic)).Generation;
    }

    public async Task<Generation> RollbackAsync(int? number)
    {
        RefuseWhileStopping();
        Generation to = number is { } asked
            ? store.Find(asked) ?? throw new AdminRefusedException($"There is no generation {asked}. 'serve history' lists those that are kept.")
            : (store.Current is { } current ? store.GoodBefore(current.Number) : null)
                ?? throw new AdminRefusedException("There is no good generation before the one that runs. 'serve history' lists those that are kept.");
        ConfigResult read = to.Read(source.Catalog);
        return read.IsValid
            ? (await DeployAsync(read.Config, GenerationSource.Rest, restoredFrom: to.Number, force: true)).Generation
            : throw new AdminRefusedException($"Generation {to.Number} is no longer valid here: {Sentences.Join(read.Errors.Select(e => e.ToString()))}");
    }

    public async Task ScaleAsync(string application, string deployment, int replicas)
    {
        RefuseWhileStopping();
        await _turn.WaitAsync();
        try
        {
            ServeConfig goal = _goal;
            int index = goal.Applications.ToList().FindIndex(a => a.Name == application);
            DeploymentReport? report = server.Status.Applications.FirstOrDefault(a => a.Name == application)?.Deployments.FirstOrDefault(d => d.Goal.Name == deployment);

            // What a file of Python declares is known where it runs.
            if (index < 0 || (report is null && !source.Catalog.DeploymentsOf(goal.Applications[index]).Contains(deployment)))
            {
                throw new AdminRefusedException($"There is no deployment '{deployment}' in an application '{application}'. 'serve status' lists them.");
            }

            ApplicationConfig written = goal.Applications[index];
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
            Pursue(goal with { Applications = [.. goal.Applications.Select((a, i) => i == index ? scaled : a)] }, _code, GenerationSource.Rest);
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Shutdown() => shutdown();

    private void RefuseWhileStopping()
    {
        if (server.IsDraining)
        {
            throw new AdminRefusedException("The server is stopping, and takes no new goal.", StatusCodes.Status503ServiceUnavailable);
        }
    }

    /// <summary>Makes a valid configuration the goal.</summary>
    /// <returns>Its generation, and how it goes.</returns>
    public async Task<(Generation Generation, ApplyRequest Request)> DeployAsync(
        ServeConfig config, GenerationSource from, bool force = false, bool atomic = false, int? restoredFrom = null)
    {
        config = source.WithOwn(config);
        await _turn.WaitAsync();
        try
        {
            // What a file of Python declares is part of the goal, so it is read first.
            IReadOnlyDictionary<PythonSource, PythonCode> code = server.KnownCode(config, CodeOf(restoredFrom)) ?? await server.ImportAsync(config, (_, code) => Warn(code));
            return Pursue(config, code, from, force, atomic, restoredFrom);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Begins with a valid configuration; see <see cref="BootAsync"/>.</summary>
    /// <returns>When requests are let in: how it goes, once all is imported.</returns>
    public async Task<Task<ApplyRequest>> StartAsync(ServeConfig config, GenerationSource from, int? restoredFrom)
    {
        TaskCompletionSource listens = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<ApplyRequest> first = BootAsync(config, from, restoredFrom, async () =>
        {
            await server.ListenAsync();
            listens.SetResult();
        });
        await await Task.WhenAny(first, listens.Task);
        return first;
    }

    /// <summary>
    /// Makes a valid configuration the first goal. Its routes are there before the server listens, and what has to be imported is imported after it: who asks for that waits for it, and for nothing else.
    /// </summary>
    /// <param name="config">The goal.</param>
    /// <param name="from">Who has it from where.</param>
    /// <param name="restoredFrom">The generation that it is; <see langword="null"/> = it is none that was there before.</param>
    /// <param name="listen">Lets requests in.</param>
    /// <returns>How it goes, once all is imported.</returns>
    public async Task<ApplyRequest> BootAsync(ServeConfig config, GenerationSource from, int? restoredFrom, Func<Task> listen)
    {
        config = source.WithOwn(config);
        await _turn.WaitAsync();
        try
        {
            ApplyRequest request;
            if (server.KnownCode(config, CodeOf(restoredFrom)) is { } known)
            {
                request = Pursue(config, known, from, restoredFrom: restoredFrom).Request;
                await request.Taken;
                await listen();
                return request;
            }

            Volatile.Write(ref _goal, config);
            request = server.Apply(config, _code);
            await request.Taken;
            await listen();
            _code = await server.ImportAsync(config, (file, code) =>
            {
                Warn(code);
                server.Complete(request, config, file, code);
            });
            Begin(Accept(config, from, restoredFrom).Number, request);
            return request;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>What a generation's files of Python declared; <see langword="null"/> = they are to be imported.</summary>
    private string? CodeOf(int? restoredFrom) => restoredFrom is { } number ? store.Find(number)?.Code : null;

    private (Generation Generation, ApplyRequest Request) Pursue(
        ServeConfig config, IReadOnlyDictionary<PythonSource, PythonCode> code, GenerationSource from, bool force = false, bool atomic = false, int? restoredFrom = null)
    {
        _code = code;
        Generation generation = Accept(config, from, restoredFrom);
        Volatile.Write(ref _goal, config);
        Volatile.Write(ref _fallback, null);
        Volatile.Write(ref _refused, false);
        ApplyRequest request = server.Apply(config, code, force, atomic);
        Begin(generation.Number, request);
        return (generation, request);
    }

    private Generation Accept(ServeConfig config, GenerationSource from, int? restoredFrom)
    {
        string? path = from is GenerationSource.File or GenerationSource.Hangup ? source.Path : null;
        Generation generation = store.Add(config, from, path, restoredFrom, PythonCodeText.Write(_code));
        foreach (Generation pending in store.All.Where(g => g.Outcome == GenerationOutcome.Pending && g.Number != generation.Number))
        {
            store.MarkSuperseded(pending.Number, $"generation {generation.Number} took its place");
        }

        return generation;
    }

    private void Begin(int number, ApplyRequest request)
    {
        _pursued = (number, request);
        server.WhenMended((file, code) => _ = MendAsync(file, code));
        _ = MarkAsync(number, request);
    }

    private void Warn(PythonCode code)
    {
        foreach (string warning in code.Warnings)
        {
            Log.ConfigWarning(logger, warning);
        }
    }

    /// <summary>What could not be served when the goal was taken can be now, and is part of the goal still.</summary>
    private async Task MendAsync(PythonSource file, PythonCode code)
    {
        await _turn.WaitAsync();
        try
        {
            if (_pursued is { } pursued && _code.TryGetValue(file, out PythonCode? before) && (before.Error is not null || before.Fingerprint != code.Fingerprint))
            {
                Warn(code);
                _code = new Dictionary<PythonSource, PythonCode>(_code) { [file] = code };
                store.Amend(pursued.Number, PythonCodeText.Write(_code));
                server.Complete(pursued.Request, _goal, file, code);
            }
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Goes to the last good generation, if there is one that is still valid, because the file is valid and did not come up.</summary>
    public async Task FallBackAsync(IReadOnlyList<string> failures)
    {
        string failed = Sentences.Join(failures);
        string why = $"{source.Path} is valid but did not come up. {failed}";
        // The one that has just failed may have been good once: it is not what to go back to.
        Generation current = store.Current!;
        Generation? good = store.GoodBefore(current.Number);
        (ServeConfig? config, string? whyNone) = BootGoal.Read(good, store, source.Catalog);
        if (config is null)
        {
            Log.NoFallback(logger, why, whyNone!);
            return;
        }

        // What takes its place would supersede it, if it were still open how it went.
        store.MarkFailed(current.Number, failed);
        (_, ApplyRequest request) = await DeployAsync(config, GenerationSource.File, restoredFrom: good!.Number);
        NoteFallback(why);
        await request.Settled;
    }

    /// <summary>What runs is a generation, because the file cannot be served: said in the log, and in the status until there is another goal.</summary>
    public void NoteFallback(string why)
    {
        int number = store.Current!.RestoredFrom ?? store.Current.Number;
        why = why is [.., '.' or '?'] ? why : $"{why}.";
        Log.FallsBack(logger, number, why);
        Volatile.Write(ref _fallback, $"The server fell back to generation {number}: {why}");
    }

    /// <summary>The file was read again and has errors: told by what is measured until there is another goal.</summary>
    public void NoteRefused() => Volatile.Write(ref _refused, true);

    private async Task MarkAsync(int number, ApplyRequest request)
    {
        ApplyOutcome outcome = await request.Settled;
        if (outcome.IsStopped)
        {
            store.MarkSuperseded(number, "the server is stopping before it is known how this one ends");
            return;
        }

        if (outcome.Failures.Count == 0)
        {
            store.MarkGood(number);
            return;
        }

        foreach (string failure in outcome.Failures)
        {
            Log.DeployFailed(logger, failure);
        }

        store.MarkFailed(number, Sentences.Join(outcome.Failures));
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
            string goalIs = current is null ? string.Empty : $" The goal is generation {current.Number} ({GenerationText.Word(current.Source)}).";
            yield return $"What runs is not what {source.Path} says: {difference.What}{goalIs} {difference.ToDo}";
        }

        if (store.Trouble is { } trouble)
        {
            yield return trouble;
        }

        foreach (string refused in WorkerNotices.Of(server.Status))
        {
            yield return refused;
        }
    }
}
