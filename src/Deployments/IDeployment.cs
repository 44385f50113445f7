using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Serve.Embedded.Deployments;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded;

/// <summary>
/// A deployment's handler that does not block: it runs on the thread that brought the request, and gives it back while it waits.
/// </summary>
/// <typeparam name="TRequest">What callers send. An ingress deployment, which answers HTTP, takes <see cref="HttpRequest"/>.</typeparam>
/// <typeparam name="TResponse">
/// What callers get back. Over HTTP: <see cref="string"/> becomes text/plain in UTF-8, bytes become text/plain, <see langword="null"/>
/// an empty body, an <see cref="IAsyncEnumerable{T}"/> of strings or bytes a streamed body, anything else compact JSON.
/// </typeparam>
public interface IDeployment<in TRequest, TResponse>
{
    /// <summary>Handles one request. Up to <c>max_ongoing_requests</c> calls run at the same time on one instance.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Set when the caller left, the request timed out, or the replica must stop now.</param>
    /// <exception cref="Exception">
    /// Anything thrown is thrown to a caller in code. Over HTTP a refusal by another deployment (<see cref="BackPressureException"/>, <see cref="DeploymentUnavailableException"/>) is answered as that one's, a
    /// <see cref="BadHttpRequestException"/> with its status and message, and all else with 500 and no reason; that goes to the log.
    /// </exception>
    ValueTask<TResponse> HandleAsync(TRequest request, CancellationToken cancellationToken);
}

/// <summary>
/// A deployment's handler that blocks its thread (a model, a native library, synchronous I/O). Each replica owns the threads it runs on,
/// at most <c>max_ongoing_requests</c> of them, so that a saturated one slows nobody else.
/// </summary>
/// <typeparam name="TRequest">What callers send; see <see cref="IDeployment{TRequest, TResponse}"/>.</typeparam>
/// <typeparam name="TResponse">What callers get back; see <see cref="IDeployment{TRequest, TResponse}"/>.</typeparam>
public interface IBlockingDeployment<in TRequest, TResponse>
{
    /// <summary>Handles one request on a thread of the replica.</summary>
    /// <param name="request">The request. Its body may be read synchronously.</param>
    /// <param name="cancellationToken">Set when the caller left, the request timed out, or the replica must stop now. A handler that ignores it keeps its permit until it returns.</param>
    /// <exception cref="Exception">As of <see cref="IDeployment{TRequest, TResponse}.HandleAsync"/>. A refusal by another deployment is known in an <see cref="AggregateException"/> too.</exception>
    TResponse Handle(TRequest request, CancellationToken cancellationToken);
}

/// <summary>An ingress deployment that writes its own HTTP response: status, headers, streamed bodies, upgraded connections.</summary>
public interface IHttpDeployment
{
    /// <summary>Handles one HTTP request. The response may be written until the request ends; later writes throw <see cref="OperationCanceledException"/>.</summary>
    /// <param name="context">The request and its response.</param>
    /// <param name="cancellationToken">Set when the client left, the request timed out, or the replica must stop now.</param>
    /// <exception cref="Exception">As of <see cref="IDeployment{TRequest, TResponse}.HandleAsync"/>, as long as nothing of the response was sent; afterwards the connection is broken off.</exception>
    ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken);
}

/// <summary>A handler that takes <c>user_config</c>: once before its first request, and again whenever it changes, without a restart.</summary>
public interface IReconfigurable
{
    /// <summary>Takes a new <c>user_config</c>. Requests may be running meanwhile.</summary>
    /// <param name="userConfig">The value, as JSON.</param>
    /// <param name="cancellationToken">Set when the replica must stop now.</param>
    /// <exception cref="Exception">Anything thrown refuses the value: the deployment keeps the one before, and the message is shown to the operator.</exception>
    ValueTask ReconfigureAsync(JsonElement userConfig, CancellationToken cancellationToken);
}

/// <summary>A handler that takes <c>user_config</c> as a type of its own; else as <see cref="IReconfigurable"/>, to which JSON that does not fit the type is a value that was refused.</summary>
/// <typeparam name="TConfig">What the operator writes as <c>user_config</c>.</typeparam>
public interface IReconfigurable<TConfig> : IReconfigurable
    where TConfig : notnull
{
    /// <summary>
    /// How <typeparamref name="TConfig"/> is read: that of a source-generated context, such as <c>MyJson.Default.MySettings</c>. With <see cref="JsonUnmappedMemberHandling.Disallow"/> a key that it does not know is
    /// refused by its name.
    /// </summary>
    JsonTypeInfo<TConfig> UserConfigJson { get; }

    /// <summary>Takes a new <c>user_config</c>. Requests may be running meanwhile.</summary>
    /// <param name="userConfig">The value.</param>
    /// <param name="cancellationToken">Set when the replica must stop now.</param>
    /// <exception cref="Exception">Anything thrown refuses the value: the deployment keeps the one before, and the message is shown to the operator.</exception>
    ValueTask ReconfigureAsync(TConfig userConfig, CancellationToken cancellationToken);

    /// <inheritdoc/>
    ValueTask IReconfigurable.ReconfigureAsync(JsonElement userConfig, CancellationToken cancellationToken) =>
        ReconfigureAsync(OperatorJson.Read(userConfig, UserConfigJson, "user_config"), cancellationToken);
}

/// <summary>A handler that can say how it is. It is asked once before its first request and then every <c>health_check_period_s</c>.</summary>
public interface IHealthChecked
{
    /// <summary>Returns when all is well. Requests may be running meanwhile.</summary>
    /// <param name="cancellationToken">Set when the replica must stop now.</param>
    /// <exception cref="Exception">
    /// Anything thrown, or no answer within <c>health_check_timeout_s</c>, is a failed check; after three in a row the replica is replaced (Ray Serve's <c>check_health</c>).
    /// The message is shown to the operator.
    /// </exception>
    ValueTask CheckHealthAsync(CancellationToken cancellationToken);
}
