using System.Text.Json;

namespace Serve.Embedded.Cli;

/// <summary><c>serve deploy CONFIG</c>.</summary>
internal sealed class DeployCommand : Command
{
    private static readonly CliOption Force = new("--force", null, "Try also what has failed already and is unchanged.");
    private static readonly CliOption Atomic = new("--atomic", null, "If one application does not come up, all go back.");

    public override string Name => "deploy";

    public override string Arguments => "CONFIG";

    public override string Summary => "Make a configuration file the goal of a running server.";

    public override string Details =>
        """
        The server judges the file; one with errors changes nothing. It is answered as soon as it is accepted, which takes as long as files of Python
        are imported; with --wait when it has come up, or has failed to and what was good before serves on (exit code 1). Ctrl+C ends the waiting
        and not the deploy (exit code 130).
        """;

    public override int MostArguments => 1;

    public override IReadOnlyList<CliOption> Options { get; } = [Address, Token, GenerationWait.Wait, GenerationWait.Timeout, Force, Atomic, Json];

    public override async Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        if (arguments.Positional.Count == 0)
        {
            throw new UsageException("Which file? Write: serve deploy CONFIG.");
        }

        GenerationWait.Check(arguments);
        string file = arguments.Positional[0];
        byte[] text = await AdminClient.ReadFileAsync(file);
        using AdminClient client = AdminClient.Create(arguments, context);
        string query = $"?{client.OriginOf(file)}&force={Lower(arguments.Has(Force.Name))}&atomic={Lower(arguments.Has(Atomic.Name))}";
        using ChangePatience patience = GenerationWait.PatienceOf(arguments, context);
        using JsonDocument accepted = await patience.TellAsync(
            client.ChangeAsync(HttpMethod.Put, $"/api/serve/applications/{query}", patience, text, "application/toml"), GenerationWait.Builds);
        return await GenerationWait.FinishAsync(client, accepted, patience, arguments, context, "Sent deploy request successfully.");
    }

    private static string Lower(bool value) => value ? "true" : "false";
}
