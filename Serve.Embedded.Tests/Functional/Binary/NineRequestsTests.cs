using System.Diagnostics;
using System.Net;

namespace Serve.Embedded.Tests.Functional.Binary;

public sealed class NineRequestsTests
{
    [Fact]
    public async Task Run_NineRequestsAtOnce_TwoRunTwoWaitFiveAreRefused()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 2.0));

        List<Answer> answers = [.. await Task.WhenAll(Enumerable.Range(0, 9).Select(_ => AskAsync(server)))];

        List<Answer> refused = [.. answers.Where(a => a.Status == HttpStatusCode.ServiceUnavailable)];
        List<Answer> answered = [.. answers.Where(a => a.Status == HttpStatusCode.OK).OrderBy(a => a.Time)];
        Assert.Equal(5, refused.Count);
        Assert.Equal(4, answered.Count);
        Assert.All(answered, a => Assert.Equal("Hello!", a.Body));

        // Lower bounds are exact and upper ones generous: the machine may be busy, but a refusal must not wait for a permit.
        Assert.All(answered.Take(2), a => Assert.InRange(a.Time.TotalSeconds, 1.99, 3.9));
        Assert.All(answered.Skip(2), a => Assert.InRange(a.Time.TotalSeconds, 3.98, 8));
        Assert.All(refused, a => Assert.InRange(a.Time.TotalSeconds, 0, 1.9));
        Assert.All(refused, a =>
        {
            Assert.StartsWith("Request dropped due to backpressure (num_queued_requests=2, max_queued_requests=2).", a.Body, StringComparison.Ordinal);
            Assert.Contains("'SlowDeployment'", a.Body, StringComparison.Ordinal);
            Assert.InRange(int.Parse(a.RetryAfter!, null), 1, 60);
        });
        Assert.Contains("max_queued_requests=2", await server.LineAsync("Request dropped due to backpressure"), StringComparison.Ordinal);
    }

    private static async Task<Answer> AskAsync(ServeProcess server)
    {
        using HttpClient client = server.NewClient();
        long start = Stopwatch.GetTimestamp();
        using HttpResponseMessage response = await client.GetAsync("/", server.Deadline);
        string body = await response.Content.ReadAsStringAsync(server.Deadline);
        return new(response.StatusCode, body, Stopwatch.GetElapsedTime(start), response.Headers.TryGetValues("Retry-After", out IEnumerable<string>? values) ? values.Single() : null);
    }

    private sealed record Answer(HttpStatusCode Status, string Body, TimeSpan Time, string? RetryAfter);
}
