using Serve.Embedded.Config;
using Serve.Embedded.Controller;

namespace Serve.Embedded.Admin;

/// <summary>What the admin port shows, taken at one instant.</summary>
/// <param name="Config">The configuration in force.</param>
/// <param name="Status">What runs.</param>
/// <param name="IsDraining">The server is on its way out.</param>
/// <param name="Connections">Connections on the data port.</param>
internal sealed record AdminView(ServeConfig Config, ControllerStatus Status, bool IsDraining, int Connections);
