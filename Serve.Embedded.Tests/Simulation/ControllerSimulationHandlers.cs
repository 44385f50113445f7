using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>What a replica of the simulation runs, and the call that it can make.</summary>
internal abstract class SimulatedHandler : IReconfigurable, IHealthChecked
{
    public SimulatedReplica Replica { get; set; } = null!;

    /// <summary>The <c>user_config</c> that it was handed last, as it was written.</summary>
    public string? UserConfig { get; private set; }

    /// <summary>Calls the back of its application; <see langword="null"/> = it has none.</summary>
    public Func<CancellationToken, ValueTask<string>>? Calls { get; init; }

    public ValueTask ReconfigureAsync(JsonElement userConfig, CancellationToken cancellationToken)
    {
        UserConfig = userConfig.GetRawText();
        return ValueTask.CompletedTask;
    }

    public ValueTask CheckHealthAsync(CancellationToken cancellationToken) => throw new NotSupportedException("The simulated acts answer for it.");
}

/// <summary>Answers HTTP; the simulation runs its requests itself.</summary>
internal sealed class SimulatedFront : SimulatedHandler, IDeployment<HttpRequest, string>
{
    public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => throw new NotSupportedException();
}

/// <summary>Is called from code, through the real calls.</summary>
internal sealed class SimulatedBack<TRequest>(Func<SimulatedHandler, CancellationToken, ValueTask<string>> handle) : SimulatedHandler, IDeployment<TRequest, string>
{
    public ValueTask<string> HandleAsync(TRequest request, CancellationToken cancellationToken) => handle(this, cancellationToken);
}
