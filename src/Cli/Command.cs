using System.Runtime.InteropServices;

namespace Serve.Embedded.Cli;

/// <summary>One command of the executable.</summary>
internal abstract class Command
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int WrongUsage = 2;

    /// <summary>As a shell reports a process that Ctrl+C has ended.</summary>
    public const int Interrupted = 130;

    public static readonly CliOption Json = new("--json", null, "Write JSON, for programs.");
    public static readonly CliOption Address = new(
        "--address", "URL", $"The admin address of the server. Default: {AdminClient.AddressVariable}, else {AdminClient.DefaultAddress}.");

    public static readonly CliOption Token = new(
        "--token-file", "FILE", $"The file with the server's token, where it wants one. Default: {AdminClient.TokenVariable}.");

    public abstract string Name { get; }

    /// <summary>What its positional arguments are called in help.</summary>
    public virtual string Arguments => string.Empty;

    /// <summary>One line for the list of commands.</summary>
    public abstract string Summary { get; }

    /// <summary>What else somebody needs to know to use it.</summary>
    public virtual string Details => string.Empty;

    public virtual int MostArguments => 0;

    public abstract IReadOnlyList<CliOption> Options { get; }

    /// <summary>Does it. Returns the exit code.</summary>
    /// <exception cref="UsageException">The arguments make no sense together.</exception>
    public abstract Task<int> RunAsync(CliArguments arguments, CliContext context);
}

/// <summary>What commands work with, so that a test needs no process.</summary>
/// <param name="Registry">The applications that are compiled in.</param>
/// <param name="Out">For what was asked for.</param>
/// <param name="Error">For what went wrong.</param>
/// <param name="Environment">Reads an environment variable.</param>
/// <param name="Colour">Whether <paramref name="Out"/> is a terminal that likes colour.</param>
internal sealed record CliContext(
    DeploymentRegistry Registry, TextWriter Out, TextWriter Error, Func<string, string?> Environment, bool Colour)
{
    /// <summary>The clock of commands that look again and again.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Whether <see cref="Error"/> is a terminal: somebody may sit there and wonder.</summary>
    public bool IsWatched { get; init; }

    /// <summary>How long a server may take to take a connection, by the system's clock.</summary>
    public TimeSpan LongestConnect { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Calls when Ctrl+C is pressed, which does not end the process then; a second time it does. Until what it returns is disposed.</summary>
    public Func<Action, IDisposable> OnInterrupt { get; init; } = static pressed =>
    {
        bool isSecond = false;
        return PosixSignalRegistration.Create(PosixSignal.SIGINT, signal =>
        {
            signal.Cancel = !isSecond;
            isSecond = true;
            pressed();
        });
    };

    /// <summary>Whether nobody can read <see cref="Out"/> any more: the framework writes on, and says nothing.</summary>
    public Func<bool> HasNoReader { get; init; } = static () => false;
}
