using Serve.Embedded.Replicas;

namespace Serve.Embedded.Handles;

/// <summary>Which replicas a call prefers. It never waits for one of them while another is free: affinity is an order, not a limit.</summary>
/// <param name="ModelId">Those that have the model first.</param>
/// <param name="SessionId">Those first that the session has been with.</param>
/// <param name="Ranked">What the deployment's own router said; <see langword="null"/> = it has none.</param>
internal sealed record CallRoute(string? ModelId, string? SessionId, Replica[]? Ranked);
