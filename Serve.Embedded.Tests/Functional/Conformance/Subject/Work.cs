namespace Serve.Embedded.Tests.Functional.Conformance.Subject;

/// <summary>What every handler does, as the request orders it: <c>say/NAME</c> answers the name, <c>hold/NAME</c> when it is released, <c>throw/NAME</c> fails,
/// <c>model/NAME</c> answers which model it is for.</summary>
internal sealed class Work(Board board)
{
    public async ValueTask<string> DoAsync(string order, CancellationToken cancellationToken)
    {
        int slash = order.IndexOf('/', StringComparison.Ordinal);
        (string verb, string name) = slash < 0 ? ("say", order) : (order[..slash], order[(slash + 1)..]);
        board.Tell($"begun {name}");
        switch (verb)
        {
            case "throw":
                throw new InvalidOperationException($"'{name}' was told to fail.");
            case "hold":
                await HoldAsync(name, cancellationToken);
                break;
            case "model":
                return $"{name} for {CurrentRequest.ModelId ?? "none"}";
        }

        return name;
    }

    /// <summary>A handler that is told to stop says so, then stops.</summary>
    public async Task HoldAsync(string name, CancellationToken cancellationToken)
    {
        try
        {
            await board.ReleasedAsync(name, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            board.Tell($"cancelled {name}");
            throw;
        }
    }
}
