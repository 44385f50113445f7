using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Cli;

/// <summary>What the workers of a configuration would not find on this machine. A warning and no error: the file may be another machine's, and what is missing may come.</summary>
internal static class WorkersHere
{
    /// <param name="config">Which is valid.</param>
    /// <param name="registry">What is compiled in.</param>
    /// <param name="file">Where it is written, from whose folder working directories are seen.</param>
    public static IEnumerable<ConfigError> Missing(ServeConfig config, DeploymentRegistry registry, string file)
    {
        if (!OperatingSystem.IsLinux())
        {
            // Nor do they run here.
            yield break;
        }

        GoalBuilder goals = new(registry, ConfigFile.FolderOf(file));
        foreach (ApplicationGoal application in goals.Build(config, new Dictionary<PythonSource, PythonCode>()))
        {
            foreach (DeploymentGoal deployment in application.Deployments)
            {
                if (deployment.Worker is { } worker && WhatIsMissing(worker) is { } missing)
                {
                    yield return new(file, 0, 0, $"warning: deployment '{deployment.Name}' of application '{application.Name}' cannot start here: {missing}.");
                }
            }
        }

        foreach (PythonSource source in goals.PythonSources(config).Distinct())
        {
            if (Directory.Exists(source.WorkingDirectory) && source.ModulePath is var module && !File.Exists($"{module}.py") && !Directory.Exists(module))
            {
                yield return new(file, 0, 0, $"warning: there is no file {module}.py for import_path = \"python:{source.Name}\". Unless its interpreter finds such a module elsewhere, it cannot start here: mend import_path or runtime_env.working_dir.");
            }
        }
    }

    private static string? WhatIsMissing(WorkerSettings worker)
    {
        try
        {
            ProgramSearch.Find(WorkerSurroundings.OfImport(worker));
            return null;
        }
        catch (WorkerStartException exception)
        {
            return exception.Message;
        }
    }
}
