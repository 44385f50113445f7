namespace Serve.Embedded.Telemetry;

/// <summary>
/// The id of every log event, a thousand per room. An event's name is its member's name here and its method's name in
/// <see cref="Log"/>. An id that was shipped keeps its meaning: add, do not renumber.
/// </summary>
internal static class EventIds
{
    // Proxy: 1000
    public const int RequestHandled = 1000;

    // Handles: 2000
    public const int RequestRefused = 2000;
    public const int RefusalsLeftOut = 2001;

    // Replicas: 3000, Controller: 4000, Config: 5000, Hosting: 6000, Admin: 7000
}
