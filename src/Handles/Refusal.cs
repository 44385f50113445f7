using System.Text;

namespace Serve.Embedded.Handles;

/// <summary>Why a request was refused, in the words for its caller and for the log, and when to come back.</summary>
/// <param name="Message">Begins as Ray Serve's does; goes on to name the limit, its value and the deployment.</param>
/// <param name="StatusCode">503 or 429.</param>
/// <param name="RetryAfterSeconds">Whole seconds, 0 or more.</param>
internal sealed record Refusal(string Message, int StatusCode, int RetryAfterSeconds)
{
    /// <summary>The message as it is sent.</summary>
    public ReadOnlyMemory<byte> Body { get; } = Encoding.UTF8.GetBytes(Message);

    public BackPressureException ToException() => new(Message, StatusCode, RetryAfterSeconds);
}
