using System.Net;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Client;

/// <summary>Stands below a <see cref="ServeClientHandler"/>: ends each try as the test says, and keeps what it was sent and when. The last step is repeated.</summary>
internal sealed class ScriptedServer(ManualTimeProvider time, params Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>>[] steps) : HttpMessageHandler
{
    private readonly DateTimeOffset _start = time.GetUtcNow();

    /// <summary>When each try came, from the start.</summary>
    public List<TimeSpan> At { get; } = [];

    public List<string?> Timeouts { get; } = [];

    public List<string> Bodies { get; } = [];

    public List<HttpResponseMessage> Responses { get; } = [];

    public static Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> Answer(HttpStatusCode status, string? retryAfter = null, bool notRun = false) => (_, _) =>
    {
        HttpResponseMessage response = new(status) { Content = new WatchedContent() };
        if (retryAfter is not null)
        {
            response.Headers.TryAddWithoutValidation("Retry-After", retryAfter);
        }

        if (notRun)
        {
            response.Headers.TryAddWithoutValidation("X-Request-Not-Run", "?1");
        }

        return Task.FromResult(response);
    };

    public static Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> Fail(Exception exception) => (_, _) => Task.FromException<HttpResponseMessage>(exception);

    public static async Task<HttpResponseMessage> Hang(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
        throw new InvalidOperationException("An endless wait has ended.");
    }

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        At.Add(time.GetUtcNow() - _start);
        Timeouts.Add(request.Headers.TryGetValues("x-request-timeout-seconds", out IEnumerable<string>? sent) ? string.Join(',', sent) : null);
        if (request.Content is not null)
        {
            // Read as it is sent: what can be read only once is then gone.
            using MemoryStream body = new();
            await request.Content.CopyToAsync(body, cancellationToken);
            Bodies.Add(System.Text.Encoding.UTF8.GetString(body.ToArray()));
        }

        HttpResponseMessage response = await steps[Math.Min(At.Count, steps.Length) - 1](request, cancellationToken);
        response.RequestMessage = request;
        Responses.Add(response);
        return response;
    }

    /// <summary>Knows whether its response was given up.</summary>
    internal sealed class WatchedContent() : ByteArrayContent("why"u8.ToArray())
    {
        public bool IsDisposed { get; private set; }

        protected override void Dispose(bool disposing)
        {
            IsDisposed = true;
            base.Dispose(disposing);
        }
    }
}

/// <summary>Draws that the test chose.</summary>
internal sealed class ChosenRandom(double draw) : Random(0)
{
    public override double NextDouble() => draw;
}
