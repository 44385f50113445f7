using Serve.Embedded.Hosting;

namespace Serve.Embedded.Cli;

/// <summary><c>serve start</c>.</summary>
internal sealed class StartCommand : Command
{
    private static readonly CliOption Resume = new("--resume", null, "Start with the last good generation of such a server.");

    public override string Name => "start";

    public override string Summary => "Serve with no applications yet; 'serve deploy' brings them.";

    public override string Details => "It stays in the foreground, like 'serve run', until SIGTERM or SIGINT.";

    public override IReadOnlyList<CliOption> Options { get; } = [Resume, .. RunCommand.Overrides];

    public override Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        ConfigSource source = new(path: null, context.Registry, arguments.Single, context.Environment);
        return new ServeRun(source, context.Registry, new(Resume: arguments.Has(Resume.Name)), context.Environment)
            .RunAsync(context.Error, StandardStreams.OpenError(), Environment.Exit);
    }
}
