namespace Serve.Embedded.Config;

/// <summary>Where the folders of workers are seen from, for a file that did not come from the server's own folder.</summary>
internal static class WorkingDirs
{
    /// <summary>The same with every <c>working_dir</c> of a worker written out, so that it means the same from any folder: in generations, after a rollback, in what is shown.</summary>
    /// <param name="config">As it was written.</param>
    /// <param name="folder">That of its file.</param>
    public static ServeConfig SeenFrom(ServeConfig config, string folder) =>
        config with { Applications = [.. config.Applications.Select(a => WorkerRules.HasWorkers(a) ? SeenFrom(a, folder) : a)] };

    private static ApplicationConfig SeenFrom(ApplicationConfig application, string folder) => application with
    {
        RuntimeEnv = SeenFrom(application.RuntimeEnv ?? new(), folder),
        Deployments = [.. application.Deployments.Select(d => d.Worker.RuntimeEnv is { } own ? d with { Worker = d.Worker with { RuntimeEnv = SeenFrom(own, folder) } } : d)],
    };

    private static RuntimeEnvConfig SeenFrom(RuntimeEnvConfig surroundings, string folder) =>
        surroundings with { WorkingDir = Path.GetFullPath(surroundings.WorkingDir ?? ".", folder) };
}
