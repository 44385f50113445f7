using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Generations;

namespace Serve.Embedded.Admin;

/// <summary>What the admin port shows, taken at one instant.</summary>
/// <param name="Goal">The configuration that was accepted last.</param>
/// <param name="InForce">The same, with the listeners that the server really has.</param>
/// <param name="Status">What runs.</param>
/// <param name="Generation">The goal's place in the history.</param>
/// <param name="Notices">What an operator should know before anything else: what runs is not what the file says, a fallback was taken, state is in memory only.</param>
/// <param name="IsDraining">The server is on its way out.</param>
/// <param name="Connections">Connections on the data port.</param>
/// <param name="BusyConnections">Those of them that serve a request now.</param>
/// <param name="Reload">How the last change went.</param>
/// <param name="StartedAt">When the server was made.</param>
/// <param name="Now">The instant, by the same clock.</param>
internal sealed record AdminView(
    ServeConfig Goal,
    ServeConfig InForce,
    ControllerStatus Status,
    Generation? Generation,
    IReadOnlyList<string> Notices,
    bool IsDraining,
    int Connections,
    int BusyConnections,
    ReloadReport Reload,
    DateTimeOffset StartedAt,
    DateTimeOffset Now)
{
    /// <summary>What runs: after a rollback not what is wanted, and never what waits for a restart of the server.</summary>
    public ServeConfig Running => InForce with { Applications = [.. Status.Applications.Select(a => a.Running).OfType<ApplicationConfig>()] };
}

/// <param name="IsGood">What was asked for last came up, or comes up still after something that did.</param>
/// <param name="LastGoodAt">When a goal last came up; <see langword="null"/> = none did yet.</param>
internal sealed record ReloadReport(bool IsGood, DateTimeOffset? LastGoodAt);
