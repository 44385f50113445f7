using System.Text.Json;

namespace Serve.Embedded.Cli;

/// <summary><c>serve shutdown</c>.</summary>
internal sealed class ShutdownCommand : Command
{
    public override string Name => "shutdown";

    public override string Summary => "End a running server: what has arrived is answered first.";

    public override IReadOnlyList<CliOption> Options { get; } = [Address, Token];

    public override async Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        using AdminClient client = AdminClient.Create(arguments, context);
        using ChangePatience patience = new(context, AdminClient.AtOnce);
        using JsonDocument answer = await client.ChangeAsync(HttpMethod.Post, "/api/serve/shutdown", patience);
        await context.Out.WriteLineAsync(answer.RootElement.GetProperty("message").GetString());
        return Done;
    }
}
