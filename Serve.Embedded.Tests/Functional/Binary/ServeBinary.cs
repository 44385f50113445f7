using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>The published executable that SERVE_BINARY names, used as an operator uses it. Without one, its tests are skipped.</summary>
internal static partial class ServeBinary
{
    public const string Variable = "SERVE_BINARY";

    public const int Hangup = 1;
    public const int Interrupt = 2;
    public const int Terminate = 15;

    /// <summary>The longest that anything here may take: a hang is a failure, not a wait.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static string Path
    {
        get
        {
            string? path = Environment.GetEnvironmentVariable(Variable);
            Assert.SkipWhen(string.IsNullOrEmpty(path), $"{Variable} does not name a published executable. Publish one with dotnet publish -c Release -o dist and set {Variable}=$PWD/dist/serve.");
            return System.IO.Path.GetFullPath(path!);
        }
    }

    /// <summary>Runs it to its end.</summary>
    public static Task<Finished> RunAsync(params string[] arguments) => RunAsync(new Invocation { Arguments = arguments });

    public static Task<Finished> RunAsync(Invocation invocation) => RunToEndAsync(Start(invocation));

    /// <summary>Waits until a process has ended by itself, and takes what it wrote.</summary>
    public static async Task<Finished> RunToEndAsync(Process started)
    {
        using CancellationTokenSource deadline = NewDeadline();
        using Process process = started;
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(deadline.Token);
            Task<string> error = process.StandardError.ReadToEndAsync(deadline.Token);
            await process.WaitForExitAsync(deadline.Token);
            return new(process.ExitCode, await output, await error);
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
        }
    }

    /// <summary>Starts it. <see cref="Invocation.Shell"/> runs before it in the same process, which it then replaces.</summary>
    public static Process Start(Invocation invocation)
    {
        ProcessStartInfo start = new()
        {
            WorkingDirectory = invocation.Directory ?? System.IO.Path.GetTempPath(),
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        string program = invocation.Program ?? Path;
        if (invocation.Shell is { } shell)
        {
            start.FileName = "/bin/sh";
            start.ArgumentList.Add("-c");
            start.ArgumentList.Add(shell);
        }
        else
        {
            start.FileName = program;
        }

        // To a shell this is $0, and the rest is $@.
        if (invocation.Shell is not null)
        {
            start.ArgumentList.Add(program);
        }

        foreach (string argument in invocation.Arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach ((string name, string value) in invocation.Environment)
        {
            start.Environment[name] = value;
        }

        Process process = Process.Start(start)!;
        process.StandardInput.Close();
        return process;
    }

    public static CancellationTokenSource NewDeadline()
    {
        CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        deadline.CancelAfter(Patience);
        return deadline;
    }

    public static void Kill(int processId, int signal) => Assert.Equal(0, KillProcess(processId, signal));

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int KillProcess(int processId, int signal);
}

/// <summary>How the executable is called.</summary>
internal sealed record Invocation
{
    /// <summary><see langword="null"/> = the one that <see cref="ServeBinary.Variable"/> names.</summary>
    public string? Program { get; init; }

    public IReadOnlyList<string> Arguments { get; init; } = [];

    public string? Directory { get; init; }

    /// <summary>A shell command that ends in <c>exec "$0" "$@"</c>.</summary>
    public string? Shell { get; init; }

    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();
}

/// <summary>How it ended.</summary>
internal sealed record Finished(int ExitCode, string Out, string Error);
