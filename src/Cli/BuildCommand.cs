using Serve.Embedded.Config;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Cli;

/// <summary><c>serve build</c>.</summary>
internal sealed class BuildCommand : Command
{
    private static readonly CliOption Output = new("--output", "FILE", "Write to this file instead of the terminal. An existing file is never overwritten, but with --force.");
    private static readonly CliOption Force = new("--force", null, "Overwrite the file.");
    private static readonly CliOption Application = new("--app", "IMPORT_PATH", "Only this application; may be given more than once.", Repeats: true);

    public override string Name => "build";

    public override string Summary => "Write a complete configuration for the applications that are compiled in.";

    public override string Details => "Every key is there with its default, its range and what a change of it does.";

    public override IReadOnlyList<CliOption> Options { get; } = [Output, Force, Application];

    public override async Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        IReadOnlyList<string> wanted = arguments.Values(Application.Name);
        foreach (string importPath in wanted.Where(w => !context.Registry.Applications.ContainsKey(w)))
        {
            throw new UsageException($"No application '{importPath}' is compiled in. There are: {string.Join(", ", context.Registry.Applications.Keys)}.");
        }

        List<ApplicationDefinition> applications = [.. context.Registry.Applications.Values.Where(a => wanted.Count == 0 || wanted.Contains(a.ImportPath))];
        string toml = ConfigWriter.ToToml(new() { Applications = [.. applications.Select(a => ConfigOf(a, applications.Count == 1))] }, comments: true);
        if (arguments.Value(Output.Name) is not { } file)
        {
            await context.Out.WriteAsync(toml);
            return Done;
        }

        if (File.Exists(file) && !arguments.Has(Force.Name))
        {
            await context.Error.WriteLineAsync($"{file} exists already. Write to another file, or overwrite it with --force.");
            return Failed;
        }

        try
        {
            await File.WriteAllTextAsync(file, toml);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            await context.Error.WriteLineAsync($"Cannot write {file}: {exception.Message}");
            return Failed;
        }

        await context.Out.WriteLineAsync($"Wrote {file}. Serve it with: serve run {file}");
        return Done;
    }

    private static ApplicationConfig ConfigOf(ApplicationDefinition application, bool alone)
    {
        string name = application.ImportPath[(application.ImportPath.IndexOf(':', StringComparison.Ordinal) + 1)..];
        return new()
        {
            Name = alone ? "default" : name,
            RoutePrefix = alone ? "/" : $"/{name}",
            ImportPath = application.ImportPath,
            Deployments = [.. application.Deployments.Select(d => new DeploymentConfig
            {
                Name = d.Name,
                NumReplicas = d.Options.Autoscaling is null ? d.Options.NumReplicas : ReplicaCount.Auto,
                Autoscaling = d.Options.Autoscaling is { } autoscaling ? OptionRules.Written(autoscaling) : null,
                MaxOngoingRequests = d.Options.MaxOngoingRequests,
                MaxQueuedRequests = d.Options.MaxQueuedRequests,
                UserConfig = d.Options.UserConfig,
            })],
        };
    }
}
