using Serve.Embedded.Cli;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Tests.Cli;

/// <summary>What a command line did, without a process.</summary>
internal sealed record CliRun(int ExitCode, string Out, string Error)
{
    public static Task<CliRun> RunAsync(params string[] words) => RunAsync(new Dictionary<string, string>(), words);

    public static async Task<CliRun> RunAsync(IReadOnlyDictionary<string, string> environment, params string[] words)
    {
        using StringWriter output = new();
        using StringWriter error = new();
        CliContext context = new(new DeploymentRegistry().AddBuiltIn(), output, error, environment.GetValueOrDefault, Colour: false);
        int exitCode = await ServeCli.RunAsync(words, context);
        return new(exitCode, output.ToString(), error.ToString());
    }
}
