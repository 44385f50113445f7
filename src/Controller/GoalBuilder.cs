using Serve.Embedded.Config;
using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Controller;

/// <summary>Lays what the operator wrote over what the code declares. An override that is taken out of the file brings the code's value back.</summary>
/// <param name="registry">The code that is compiled in.</param>
/// <param name="folder">That of the configuration file: from there working directories are seen.</param>
internal sealed class GoalBuilder(DeploymentRegistry registry, string folder)
{
    private static readonly DeploymentOptions Undeclared = new();

    public IReadOnlyList<ApplicationGoal> Build(ServeConfig config, IReadOnlyDictionary<PythonSource, PythonCode> code) =>
        [.. config.Applications.Select(a => Build(a, config.Http, code))];

    /// <summary>The files of Python that a configuration names.</summary>
    public IReadOnlyCollection<PythonSource> PythonSources(ServeConfig config) => [.. config.Applications.Select(SourceOf).OfType<PythonSource>()];

    /// <summary>The applications that are made from this file of Python.</summary>
    public IReadOnlyList<ApplicationGoal> Build(ServeConfig config, PythonSource source, PythonCode code) =>
        [.. config.Applications.Where(a => SourceOf(a) == source).Select(a => Build(a, config.Http, new Dictionary<PythonSource, PythonCode> { [source] = code }))];

    private ApplicationGoal Build(ApplicationConfig written, HttpOptionsConfig http, IReadOnlyDictionary<PythonSource, PythonCode> code) => new()
    {
        Name = written.Name,
        Code = new(written.ImportPath, written.Args),
        RoutePrefix = written.RoutePrefix,
        RequestTimeout = (written.RequestTimeout ?? http.RequestTimeout) is { Ticks: > 0 } timeout ? timeout : null,
        StreamTimeout = http.StreamTimeout,
        Written = written,
        IsBuilding = SourceOf(written) is { } awaited && !code.ContainsKey(awaited),
        Deployments = SourceOf(written) is { } source
            ? [code.TryGetValue(source, out PythonCode? declared) ? Python(written, source, declared) : Awaited(written, source)]
            : written.ImportPath is { } importPath
            ? [.. registry.Applications[importPath].Deployments.Select(d => Build(d.Name, written.Deployments.FirstOrDefault(w => w.Name == d.Name), d.Options))]
            : [.. written.Deployments.Select(d => OfWorker(d, Worker(written, d)))],
    };

    private static DeploymentGoal Build(string name, DeploymentConfig? written, DeploymentOptions code)
    {
        ScaleGoal scale = ScaleGoal.Of(written, code);
        return new()
        {
            Name = name,
            NumReplicas = scale.NumReplicas,
            Autoscaling = scale.Autoscaling,
            NumCpus = written?.NumCpus ?? code.NumCpus,
            MemoryMb = written?.MemoryMb ?? code.MemoryMb,
            Weight = written?.Weight ?? code.Weight,
            MaxOngoingRequests = written?.MaxOngoingRequests ?? code.MaxOngoingRequests,
            MaxQueuedRequests = written?.MaxQueuedRequests ?? code.MaxQueuedRequests,
            MaxQueueWait = written?.MaxQueueWait ?? code.MaxQueueWait,
            MaxWebsockets = written?.MaxWebsockets ?? code.MaxWebsockets,
            GracefulShutdownTimeout = written?.GracefulShutdownTimeout ?? code.GracefulShutdownTimeout,
            HealthCheckPeriod = written?.HealthCheckPeriod ?? code.HealthCheckPeriod,
            HealthCheckTimeout = written?.HealthCheckTimeout ?? code.HealthCheckTimeout,
            MaxConstructorRetryCount = written?.MaxConstructorRetryCount ?? code.MaxConstructorRetryCount,
            RollingUpdatePercentage = written?.RollingUpdatePercentage ?? code.RollingUpdatePercentage,
            Replaces = written?.Replaces ?? code.ReplacesOnUpdate,
            BackpressureStatusCode = written?.Backpressure?.StatusCode ?? code.BackpressureStatusCode,
            RetryAfterS = written?.Backpressure is { } backpressure ? backpressure.RetryAfterS : code.RetryAfterS,
            UserConfig = written?.UserConfig ?? code.UserConfig,
        };
    }

    private PythonSource? SourceOf(ApplicationConfig application)
    {
        RuntimeEnvConfig surroundings = application.RuntimeEnv ?? new();
        return WorkerRules.PythonName(application.ImportPath) is { } name
            ? new(name, application.Python ?? "python3", FolderOf(surroundings), surroundings.EnvVars, surroundings.ClearEnv)
            : null;
    }

    private DeploymentGoal Python(ApplicationConfig application, PythonSource source, PythonCode code)
    {
        DeploymentConfig? written = application.Deployments.FirstOrDefault(d => d.Name == code.Deployment.Name);
        DeploymentConfig deployment = DeploymentKeys.Overlay(code.Deployment, written);
        string? error = code.Error ?? WhyNot(application, source, code.Deployment.Name, deployment.UserConfig);
        deployment = deployment with
        {
            Worker = deployment.Worker with
            {
                Command = [source.Python, PythonHost.FileMark, "run", source.Name],
                HealthCheckPath = PythonHost.HealthPath,
                ReconfigurePath = code.TakesUserConfig ? PythonHost.ReconfigurePath : null,
            },
        };
        return OfWorker(deployment, Worker(application, deployment) with { IsPython = true, Fingerprint = code.Fingerprint, BuildError = error, FailedSource = error is null ? null : source });
    }

    /// <summary>What is wrong with what its file declares, beside what is written; <see langword="null"/> = nothing.</summary>
    private static string? WhyNot(ApplicationConfig application, PythonSource source, string name, string? userConfig)
    {
        if (application.Deployments.FirstOrDefault(d => d.Name != name) is { } stranger)
        {
            return $"Deployment '{stranger.Name}' does not exist: {source.Name} has one deployment, '{name}'.";
        }

        return userConfig is not null && WorkerStrings.Handed("user_config", $"deployment '{name}' of application '{application.Name}'", WorkerStrings.UserConfigVariable, userConfig) is { } tooLong
            ? $"What {source.Name} declares cannot be served: {tooLong}."
            : null;
    }

    /// <summary>A place to wait for who comes before the file is imported, with what is written about it and, most likely, its name.</summary>
    private DeploymentGoal Awaited(ApplicationConfig application, PythonSource source)
    {
        DeploymentGoal guess = Python(application, source, new(new() { Name = application.Deployments is [{ } only] ? only.Name : source.LastName }, TakesUserConfig: false, Fingerprint: null, Error: null));

        // Nothing runs in it, so who waits goes on to what takes its place at once.
        return guess with { Worker = guess.Worker! with { BuildError = null, FailedSource = null }, GracefulShutdownTimeout = TimeSpan.Zero };
    }

    private static DeploymentGoal OfWorker(DeploymentConfig deployment, WorkerSettings settings) =>
        Build(deployment.Name, deployment, Undeclared) with { Worker = settings, Retry = deployment.Worker.Retry ?? RetryMode.Idempotent };

    private string FolderOf(RuntimeEnvConfig surroundings) => Path.GetFullPath(surroundings.WorkingDir ?? ".", folder);

    private WorkerSettings Worker(ApplicationConfig application, DeploymentConfig deployment)
    {
        WorkerConfig worker = deployment.Worker;
        RuntimeEnvConfig surroundings = worker.RuntimeEnv ?? application.RuntimeEnv ?? new();
        return new()
        {
            Command = worker.Command,
            WorkingDirectory = FolderOf(surroundings),
            Variables = surroundings.EnvVars,
            ClearsEnvironment = surroundings.ClearEnv,
            HealthCheckPath = worker.HealthCheckPath,
            ReconfigurePath = worker.ReconfigurePath,
            FixedUserConfig = worker.ReconfigurePath is null ? deployment.UserConfig : null,
            StartupTimeout = worker.StartupTimeout ?? WorkerSettings.DefaultStartupTimeout,
            MaxRequests = worker.MaxRequestsPerReplica,
            MaxAge = worker.MaxReplicaAge,
            MaxRssMb = worker.MaxReplicaRssMb,
            Nice = worker.Nice,
            CpuAffinity = worker.CpuAffinity,
            MaxOpenFiles = worker.MaxOpenFiles,
            Rlimits = worker.Rlimits,
            MemoryMaxMb = worker.MemoryMaxMb,
            CpuMax = worker.CpuMax,
        };
    }
}
