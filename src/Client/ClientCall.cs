using System.Globalization;
using System.Net.Http.Headers;

namespace Serve.Embedded.Client;

/// <summary>One request of a user, with all its tries.</summary>
internal sealed class ClientCall
{
    private const string TimeoutHeader = "x-request-timeout-seconds";

    /// <summary>What a timer takes; whoever asks for more means none.</summary>
    private static readonly TimeSpan LongestTimeout = TimeSpan.FromMilliseconds(int.MaxValue);

    private readonly HttpRequestMessage _request;
    private readonly ServeClientOptions _options;
    private readonly RetryBudget _budget;
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly CancellationToken _caller;
    private readonly string? _callersTimeout;
    private readonly TimeSpan? _timeout;
    private readonly bool _mayRunTwice;
    private readonly long _startedAt;
    private bool _canReplay;
    private int _tries;

    public ClientCall(HttpRequestMessage request, ServeClientOptions options, RetryBudget budget, TimeProvider time, Random random, CancellationToken caller)
    {
        _request = request;
        _options = options;
        _budget = budget;
        _time = time;
        _random = random;
        _caller = caller;
        _startedAt = time.GetTimestamp();
        _callersTimeout = request.Headers.NonValidated.TryGetValues(TimeoutHeader, out HeaderStringValues sent) ? sent.ToString() : null;
        _timeout = TimeoutOf(_callersTimeout, options.Timeout);
        _mayRunTwice = request.Options.TryGetValue(ServeClientHandler.MayRunTwice, out bool said) ? said : options.RetryNonIdempotent || IsIdempotent(request.Method);
    }

    private string Target => $"{_request.Method} {_request.RequestUri?.GetLeftPart(UriPartial.Path)}";

    /// <param name="sendAsync">Sends one try.</param>
    public async Task<HttpResponseMessage> RunAsync(Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> sendAsync)
    {
        _budget.Deposit();
        try
        {
            while (true)
            {
                (TryEnd end, HttpResponseMessage? response, Exception? failure) = await TryAsync(sendAsync).ConfigureAwait(false);
                if (end == TryEnd.Final)
                {
                    return response!;
                }

                TimeSpan asked = Backoff.Asked(response?.Headers.RetryAfter, _time.GetUtcNow());
                TimeSpan wait = Backoff.Wait(_tries, _options.FirstBackoff, _options.MaxBackoff, asked, _random.NextDouble());
                if (WhyStop(end, asked, wait) is { } reason)
                {
                    return response is null ? throw Failed(failure!, reason) : Explained(response, reason);
                }

                // The handler below reads what is left of it, within its limits, so that its connection can be used again.
                response?.Dispose();
                await Task.Delay(wait, _time, _caller).ConfigureAwait(false);
            }
        }
        finally
        {
            _request.Options.Set(ServeClientHandler.Tries, _tries);
            SetTimeoutHeader(_callersTimeout);
        }
    }

    private async Task<(TryEnd End, HttpResponseMessage? Response, Exception? Failure)> TryAsync(Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> sendAsync)
    {
        TimeSpan? limit = Shorter(Left(), _options.TryTimeout);
        using CancellationTokenSource over = limit is { } time ? new(time > TimeSpan.Zero ? time : TimeSpan.Zero, _time) : new();
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(over.Token, _caller);
        _tries++;
        try
        {
            if (_tries == 1)
            {
                _canReplay = _options.MaxRetries > 0 && await Replay.PrepareAsync(_request.Content, _options.MaxBufferedBytes, either.Token).ConfigureAwait(false);
            }

            if (limit is { } told)
            {
                // Rounded down, and never to 0, which would mean no limit.
                SetTimeoutHeader(Math.Max(0.001, Math.Floor(told.TotalMilliseconds) / 1000).ToString("0.###", CultureInfo.InvariantCulture));
            }

            HttpResponseMessage response = await sendAsync(_request, either.Token).ConfigureAwait(false);
            return (TryEnds.Of(response, _options.StatusCodes, wasTimed: limit is not null), response, null);
        }
        catch (OperationCanceledException left) when (_caller.IsCancellationRequested)
        {
            throw new TaskCanceledException(left.Message, left, _caller);
        }
        catch (OperationCanceledException timedOut)
        {
            // Over is the try's time, or that of a handler below, such as a ConnectTimeout: nobody says which, so that it may have been sent.
            return (TryEnd.PerhapsRun, null, over.IsCancellationRequested ? new TimeoutException($"There was no response within {Seconds(limit!.Value)}.", timedOut) : timedOut);
        }
        catch (HttpRequestException failure) when (TryEnds.Of(failure) is not TryEnd.Final)
        {
            return (TryEnds.Of(failure), null, failure);
        }
    }

    /// <summary>Why this try was the last; <see langword="null"/> = it was not, and its token is taken from the budget.</summary>
    private string? WhyStop(TryEnd end, TimeSpan asked, TimeSpan wait) =>
        _tries > _options.MaxRetries ? string.Create(CultureInfo.InvariantCulture, $"MaxRetries is {_options.MaxRetries}")
        : end == TryEnd.PerhapsRun && !_mayRunTwice ? $"it may have been run, and a {_request.Method} must not be run twice unless RetryNonIdempotent or the request's MayRunTwice says so"
        : end != TryEnd.NothingSent && !_canReplay ? "its content cannot be sent again: it has no known length, or more than MaxBufferedBytes"
        : asked > _options.MaxRetryAfter ? $"the server asks to come back in {Seconds(asked)}, and MaxRetryAfter is {Seconds(_options.MaxRetryAfter)}"
        : Left() is { } left && wait >= left ? $"the next try would come after its timeout of {Seconds(_timeout!.Value)}"
        : !_budget.TryWithdraw() ? "the retry budget is used up: too many requests of this client fail"
        : null;

    /// <summary>In the words that <c>EnsureSuccessStatusCode</c> throws, too.</summary>
    private HttpResponseMessage Explained(HttpResponseMessage response, string reason)
    {
        response.ReasonPhrase = $"{response.ReasonPhrase}; {Count()}: {reason}";
        return response;
    }

    private Exception Failed(Exception last, string reason)
    {
        string message = $"{Target} failed after {Count()} in {Seconds(_time.GetElapsedTime(_startedAt))}. {last.Message} It was not sent again: {reason}.";
        return last is HttpRequestException failure
            ? new HttpRequestException(failure.HttpRequestError, message, failure, failure.StatusCode)
            : new TaskCanceledException(message, last as TimeoutException ?? new TimeoutException(message, last));
    }

    private string Count() => _tries == 1 ? "1 try" : string.Create(CultureInfo.InvariantCulture, $"{_tries} tries");

    private TimeSpan? Left() => _timeout - _time.GetElapsedTime(_startedAt);

    private void SetTimeoutHeader(string? value)
    {
        _request.Headers.Remove(TimeoutHeader);
        if (value is not null)
        {
            _request.Headers.TryAddWithoutValidation(TimeoutHeader, value);
        }
    }

    private static TimeSpan? Shorter(TimeSpan? one, TimeSpan? other) => one is null || other < one ? other : one;

    private static string Seconds(TimeSpan time) => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.###} s");

    /// <summary>What the caller says in the header of one request is worth more than what the options say of all, and means what it means to the server.</summary>
    private static TimeSpan? TimeoutOf(string? said, TimeSpan? otherwise) =>
        !double.TryParse(said, NumberStyles.Float, CultureInfo.InvariantCulture, out double seconds) || !double.IsFinite(seconds) ? otherwise
        : seconds <= 0 || seconds > LongestTimeout.TotalSeconds ? null
        : TimeSpan.FromSeconds(seconds);

    /// <summary>RFC 9110, section 9.2.2.</summary>
    private static bool IsIdempotent(HttpMethod method) =>
        method == HttpMethod.Get || method == HttpMethod.Head || method == HttpMethod.Put || method == HttpMethod.Delete || method == HttpMethod.Options || method == HttpMethod.Trace;
}
