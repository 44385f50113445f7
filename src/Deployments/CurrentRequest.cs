using Serve.Embedded.Telemetry;

namespace Serve.Embedded;

/// <summary>
/// The request that the calling code works for. Inside an <see cref="IBatchDeployment{TRequest, TResponse}"/>, which works for several at once, there is none but for their <see cref="ModelId"/>.
/// Work that a handler starts and does not await must read what it needs before the request ends.
/// </summary>
public static class CurrentRequest
{
    /// <summary>Its id: the client's <c>X-Request-ID</c>, or one that the server gave it; the same in all deployments that it comes through. <see langword="null"/> = there is no request.</summary>
    public static string? Id => RequestScope.Current?.RequestId;

    /// <summary>
    /// The model that it asks for: the header <c>serve_multiplexed_model_id</c>, or <see cref="CallOptions.ModelId"/> of the call; a deployment that is called without one has none, whatever its caller has.
    /// Inside a batch it is that of all its requests. <see langword="null"/> = none. Ray Serve's <c>get_multiplexed_model_id()</c>.
    /// </summary>
    public static string? ModelId => RequestScope.Current?.ModelId;

    /// <summary>The session that it belongs to: the header <c>x-session-id</c>, or <see cref="CallOptions.SessionId"/> of the call. <see langword="null"/> = none.</summary>
    public static string? SessionId => RequestScope.Current?.SessionId;
}
