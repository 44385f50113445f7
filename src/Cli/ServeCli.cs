using System.Reflection;
using System.Text;
using Serve.Embedded.Cli;
using Serve.Embedded.Config;
using Serve.Embedded.Hosting.Systemd;

namespace Serve.Embedded;

/// <summary>The whole command line, for an executable of your own: <c>return await ServeCli.RunAsync(args, registry);</c></summary>
public static class ServeCli
{
    private static readonly Command[] Commands =
    [
        new RunCommand(), new StartCommand(), new CheckCommand(), new BuildCommand(), new DeployCommand(), new StatusCommand(), new ConfigCommand(), new HistoryCommand(),
        new RollbackCommand(), new ShutdownCommand(),
    ];

    /// <summary>Does what the arguments say.</summary>
    /// <param name="args">As the process was given them. None: <c>run</c> where there is a <c>config.toml</c>, else help.</param>
    /// <param name="registry">The applications that are compiled in.</param>
    /// <returns>The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.</returns>
    public static Task<int> RunAsync(string[] args, DeploymentRegistry registry)
    {
        ArgumentNullException.ThrowIfNull(args);
        ArgumentNullException.ThrowIfNull(registry);
        StandardStreams.Occupy();
        bool colour = !Console.IsOutputRedirected && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")) && Environment.GetEnvironmentVariable("TERM") is not "dumb";
        TextWriter error = JournalStream.IsStandardError(Environment.GetEnvironmentVariable) ? new JournalErrors(StandardStreams.ErrorWriter()) : StandardStreams.ErrorWriter();
        return RunAsync(args, new CliContext(registry, StandardStreams.OutputWriter(), error, Environment.GetEnvironmentVariable, colour)
        {
            HasNoReader = StandardStreams.OutputHasNoReader,
            IsWatched = !Console.IsErrorRedirected,
        });
    }

    internal static async Task<int> RunAsync(IReadOnlyList<string> words, CliContext context)
    {
        context = context with
        {
            Out = new CliOutput(context.Out, isWhatWasAskedFor: true),
            Error = new CliOutput(context.Error, isWhatWasAskedFor: false),
        };
        try
        {
            return await ChooseAsync(words, context);
        }
        catch (OutputException exception)
        {
            await context.Error.WriteLineAsync(exception.Message);
            return Command.Failed;
        }
    }

    private static async Task<int> ChooseAsync(IReadOnlyList<string> words, CliContext context)
    {
        if (words.Count == 0)
        {
            if (!File.Exists(RunCommand.DefaultFile))
            {
                await context.Error.WriteAsync(Help());
                await context.Error.WriteLineAsync($"\nThere is no {RunCommand.DefaultFile} here to serve.");
                return Command.WrongUsage;
            }

            words = ["run"];
        }

        switch (words[0])
        {
            case "--help" or "-h" or "help":
                await context.Out.WriteAsync(Help());
                return Command.Done;
            case "--version":
                await context.Out.WriteLineAsync($"serve {Version()}");
                return Command.Done;
        }

        Command? command = Commands.FirstOrDefault(c => c.Name == words[0]);
        if (command is null)
        {
            string? meant = ClosestName.Find(words[0], Commands.Select(c => c.Name));
            await context.Error.WriteLineAsync($"There is no command '{words[0]}'{(meant is null ? "." : $"; did you mean '{meant}'?")} 'serve --help' lists them.");
            return Command.WrongUsage;
        }

        return await RunAsync(command, [.. words.Skip(1)], context);
    }

    private static async Task<int> RunAsync(Command command, List<string> words, CliContext context)
    {
        if (words.Any(w => w is "--help" or "-h"))
        {
            await context.Out.WriteAsync(HelpOf(command));
            return Command.Done;
        }

        try
        {
            CliArguments arguments = CliArguments.Parse(words, command.Options);
            if (arguments.Positional.Count > command.MostArguments)
            {
                throw new UsageException($"'{arguments.Positional[command.MostArguments]}' is one argument too many.");
            }

            return await command.RunAsync(arguments, context);
        }
        catch (UsageException exception)
        {
            await context.Error.WriteLineAsync($"{exception.Message} 'serve {command.Name} --help' says how to use it.");
            return Command.WrongUsage;
        }
        catch (AdminException exception)
        {
            await context.Error.WriteLineAsync(exception.Message);
            return Command.Failed;
        }
        catch (InterruptedException exception)
        {
            await context.Error.WriteLineAsync(exception.Message);
            return Command.Interrupted;
        }
    }

    internal static string Version() =>
        typeof(ServeCli).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    private static string Help()
    {
        StringBuilder text = new();
        text.Append("serve: Ray Serve's serving semantics in one file.\n\n");
        text.Append("  serve run config.toml      serve what the file says; bare 'serve' does so where there is a config.toml\n");
        text.Append("  serve COMMAND --help       how to use a command\n\n");
        text.Append("Commands:\n");
        foreach (Command command in Commands)
        {
            text.Append($"  {command.Name,-10}{command.Summary}\n");
        }

        text.Append("\nOptions:\n  --help     This text.\n  --version  The version.\n");
        text.Append("\nExit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n");
        return text.ToString();
    }

    private static string HelpOf(Command command)
    {
        StringBuilder text = new();
        text.Append($"Usage: serve {command.Name}{(command.Options.Count > 0 ? " [OPTIONS]" : "")}{(command.Arguments.Length > 0 ? $" {command.Arguments}" : "")}\n\n{command.Summary}\n");
        if (command.Details.Length > 0)
        {
            text.Append($"\n{command.Details}\n");
        }

        text.Append("\nOptions:\n");
        List<(string Left, string Right)> lines = [.. command.Options.Select(o => ($"{o.Name}{(o.Value is null ? "" : $" {o.Value}")}", o.Help)), ("--help", "This text.")];
        int width = lines.Max(l => l.Left.Length) + 2;
        foreach ((string left, string right) in lines)
        {
            text.Append($"  {left.PadRight(width)}{right}\n");
        }

        return text.ToString();
    }
}
