using Serve.Embedded.Client;

namespace Serve.Embedded;

/// <summary>
/// For an <see cref="HttpClient"/> that calls a server which refuses what it cannot do in time: retries what failed for the moment, after waits that grow, for as long as its retry budget lasts, within one timeout
/// for all tries, which the server is told. See <c>docs/clients.md</c>, and <see cref="ServeClientBuilderExtensions.AddServeClient"/> for <c>IHttpClientFactory</c>.
/// </summary>
/// <remarks>
/// <para>
/// Retried are connections that fail, responses with one of <see cref="ServeClientOptions.StatusCodes"/>, and tries that time out. A request whose method is not idempotent is sent again only if nothing of it was
/// sent, or the server says that it did not run it (the header <c>x-request-not-run: ?1</c>, which Serve.Embedded sends with its refusals), or the user says that it may be run twice.
/// </para>
/// <para>
/// When there is no other try the caller gets what the last one ended with: its response, whose <see cref="HttpResponseMessage.ReasonPhrase"/> says how many tries there were and why it was the last, or
/// an <see cref="HttpRequestException"/>, or for a timeout a <see cref="TaskCanceledException"/> around a <see cref="TimeoutException"/>, as <see cref="HttpClient"/> itself throws. A caller that cancels ends it at once.
/// </para>
/// <para>
/// Timeouts reach to the headers of a response; its body is limited by <see cref="HttpClient.Timeout"/>, which also ends everything else after 100 s unless it is set.
/// Have one handler for each server: its budget is for requests that fail together.
/// </para>
/// </remarks>
public sealed class ServeClientHandler : DelegatingHandler
{
    private readonly ServeClientOptions _options;
    private readonly RetryBudget _budget;
    private readonly TimeProvider _time;
    private readonly Random _random;

    /// <param name="innerHandler">What sends, such as a <see cref="SocketsHttpHandler"/>.</param>
    /// <param name="options">Read once, here. <see langword="null"/> (default) = the defaults.</param>
    /// <param name="time">The clock. <see langword="null"/> (default) = the system's.</param>
    /// <param name="random">Spreads the waits; must be thread-safe. <see langword="null"/> (default) = <see cref="Random.Shared"/>.</param>
    /// <exception cref="ArgumentException">The options contradict what they say of themselves.</exception>
    public ServeClientHandler(HttpMessageHandler innerHandler, ServeClientOptions? options = null, TimeProvider? time = null, Random? random = null)
        : base(innerHandler)
    {
        _options = options is null ? new() : options with { };
        if (_options.Problem() is { } problem)
        {
            throw new ArgumentException(problem, nameof(options));
        }

        _time = time ?? TimeProvider.System;
        _budget = _options.NewBudget(_time);
        _random = random ?? Random.Shared;
    }

    /// <summary>For a factory that says later what sends.</summary>
    internal ServeClientHandler(ServeClientOptions options, RetryBudget budget, TimeProvider time, Random random)
    {
        _options = options;
        _budget = budget;
        _time = time;
        _random = random;
    }

    /// <summary>
    /// Whether this one request may be run twice: <c>request.Options.Set(ServeClientHandler.MayRunTwice, true)</c> for a POST that changes nothing. Not set = its method and
    /// <see cref="ServeClientOptions.RetryNonIdempotent"/> say so.
    /// </summary>
    public static HttpRequestOptionsKey<bool> MayRunTwice { get; } = new("Serve.MayRunTwice");

    /// <summary>After a request has ended: how many tries it took, 1 or more. <c>response.RequestMessage.Options.TryGetValue(ServeClientHandler.Tries, out int tries)</c>.</summary>
    public static HttpRequestOptionsKey<int> Tries { get; } = new("Serve.Tries");

    /// <inheritdoc/>
    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        return new ClientCall(request, _options, _budget, _time, _random, cancellationToken).RunAsync(base.SendAsync);
    }

    /// <summary>Is not supported: waits would block a thread.</summary>
    /// <exception cref="NotSupportedException">Always.</exception>
    protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken) =>
        throw new NotSupportedException("ServeClientHandler does not send synchronously, since it may have to wait. Use HttpClient.SendAsync and what is built on it.");
}
