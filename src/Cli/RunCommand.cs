using Serve.Embedded.Config;
using Serve.Embedded.Hosting;

namespace Serve.Embedded.Cli;

/// <summary><c>serve run [CONFIG]</c>.</summary>
internal sealed class RunCommand : Command
{
    public const string DefaultFile = "config.toml";

    public override string Name => "run";

    public override string Arguments => "[CONFIG]";

    public override string Summary => "Serve what a configuration file says, until SIGTERM or SIGINT.";

    public override string Details =>
        """
        Without CONFIG it reads config.toml in the current directory. SIGHUP reads the file again and changes what has changed,
        without losing a request; a file with errors changes nothing. SIGTERM and SIGINT answer what has arrived and end with
        exit code 0; a second one ends at once.
        """;

    public override int MostArguments => 1;

    public override IReadOnlyList<CliOption> Options { get; } =
        [.. ConfigOverrides.All.Select(o => new CliOption(o.Flag, o.IsNumber ? "N" : "VALUE", $"{o.Help}. Beats {o.Variable} and the file."))];

    public override Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        string file = arguments.Positional.FirstOrDefault() ?? DefaultFile;
        ConfigSource source = new(file, context.Registry, arguments.Single, context.Environment);
        return new ServeRun(source, context.Registry).RunAsync(context.Error, Console.OpenStandardError(), Environment.Exit);
    }
}
