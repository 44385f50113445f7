using Serve.Embedded.Config;
using Serve.Embedded.Hosting;

namespace Serve.Embedded.Cli;

/// <summary><c>serve run [CONFIG]</c>.</summary>
internal sealed class RunCommand : Command
{
    public const string DefaultFile = "config.toml";

    private static readonly CliOption Resume = new("--resume", null, "Start with the last good generation, and not with the file.");
    private static readonly CliOption Fallback = new("--fallback", null, "Start with the last good generation if the file has errors or does not come up.");

    public override string Name => "run";

    public override string Arguments => "[CONFIG]";

    public override string Summary => "Serve what a configuration file says, until SIGTERM or SIGINT.";

    public override string Details =>
        """
        Without CONFIG it reads config.toml in the current directory. SIGHUP reads the file again and changes what has changed,
        without losing a request; a file with errors changes nothing. SIGTERM and SIGINT answer what has arrived and end with
        exit code 0; a second one ends at once.

        Every configuration that was accepted is kept as a generation ('serve history'). --resume starts the last one that was good
        instead of the file; --fallback starts it when the file has errors or does not come up.
        """;

    public override int MostArguments => 1;

    public override IReadOnlyList<CliOption> Options { get; } =
        [Resume, Fallback, .. Overrides];

    /// <summary>Options that take the place of what the file says.</summary>
    public static IEnumerable<CliOption> Overrides =>
        [.. ConfigOverrides.All.Select(o => new CliOption(o.Flag, o.IsNumber ? "N" : "VALUE", $"{o.Help}. Beats {o.Variable} and the file."))];

    public override Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        string file = arguments.Positional.FirstOrDefault() ?? DefaultFile;
        ConfigSource source = new(file, context.Registry, arguments.Single, context.Environment);
        BootOptions boot = new(arguments.Has(Resume.Name), arguments.Has(Fallback.Name));
        return new ServeRun(source, context.Registry, boot, context.Environment).RunAsync(context.Error, StandardStreams.OpenError(), Environment.Exit);
    }
}
