using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Security.Authentication;
using Serve.Embedded.Tests.Fakes;
using static Serve.Embedded.Tests.Client.ScriptedServer;

namespace Serve.Embedded.Tests.Client;

public sealed class ServeClientHandlerTests
{
    private readonly ManualTimeProvider _time = new();

    public static TheoryData<int> RetriedStatuses => [500, 501, 502, 503, 504];

    public static TheoryData<int> FinalStatuses => [200, 204, 400, 404, 409, 429, 505];

    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(RetriedStatuses))]
    public async Task Get_RetriedStatus_IsSentAgainAndAnswered(int status)
    {
        ScriptedServer server = new(_time, Answer((HttpStatusCode)status), Answer(HttpStatusCode.OK));
        using HttpClient client = NewClient(server);

        using HttpResponseMessage response = await PassTimeUntilAsync(client.GetAsync("/", TestEnds));

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(2, server.At.Count);
        Assert.True(response.RequestMessage!.Options.TryGetValue(ServeClientHandler.Tries, out int tries));
        Assert.Equal(2, tries);
        Assert.True(((WatchedContent)server.Responses[0].Content).IsDisposed);
    }

    [Theory]
    [MemberData(nameof(FinalStatuses))]
    public async Task Get_OtherStatus_IsTheAnswer(int status)
    {
        ScriptedServer server = new(_time, Answer((HttpStatusCode)status));
        using HttpClient client = NewClient(server);

        using HttpResponseMessage response = await client.GetAsync("/", TestEnds);

        Assert.Equal(status, (int)response.StatusCode);
        Assert.Single(server.At);
        Assert.DoesNotContain(";", response.ReasonPhrase ?? "", StringComparison.Ordinal);
    }

    /// <summary>With the draw in the middle each wait is what the options say.</summary>
    [Fact]
    public async Task Get_NeverAnswered_WaitsFourTimesAsLongEachTimeThenGivesTheLastResponseAndSaysWhy()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.ServiceUnavailable));
        using HttpClient client = NewClient(server, new() { Timeout = null });

        using HttpResponseMessage response = await PassTimeUntilAsync(client.GetAsync("/", TestEnds));

        Assert.Equal([0, 100, 500, 2100, 8500, 34_100], server.At.Select(static t => t.TotalMilliseconds));
        Assert.Same(server.Responses[^1], response);
        Assert.False(((WatchedContent)response.Content).IsDisposed);
        Assert.All(server.Responses.SkipLast(1), static r => Assert.True(((WatchedContent)r.Content).IsDisposed));
        HttpRequestException thrown = Assert.Throws<HttpRequestException>(response.EnsureSuccessStatusCode);
        Assert.Contains("503 (Service Unavailable; 6 tries: MaxRetries is 5)", thrown.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("7", 0.0, 7_000)]
    [InlineData("7", 0.5, 8_750)]
    [InlineData("0", 0.5, 100)]
    [InlineData("Tue, 01 Jan 2019 00:00:00 GMT", 0.5, 100)]
    [InlineData("soon", 0.5, 100)]
    public async Task Get_RetryAfter_IsNeverSooner(string retryAfter, double draw, double milliseconds)
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.ServiceUnavailable, retryAfter), Answer(HttpStatusCode.OK));
        using HttpClient client = NewClient(server, draw: draw);

        using HttpResponseMessage response = await PassTimeUntilAsync(client.GetAsync("/", TestEnds));

        Assert.Equal(milliseconds, server.At[1].TotalMilliseconds);
    }

    [Fact]
    public async Task Get_RetryAfterIsADate_WaitsForIt()
    {
        string date = _time.GetUtcNow().AddSeconds(10).ToString("R", CultureInfo.InvariantCulture);
        ScriptedServer server = new(_time, Answer(HttpStatusCode.ServiceUnavailable, date), Answer(HttpStatusCode.OK));
        using HttpClient client = NewClient(server, draw: 0);

        using HttpResponseMessage response = await PassTimeUntilAsync(client.GetAsync("/", TestEnds));

        // The date has whole seconds, and the clock does not begin with one.
        Assert.InRange(server.At[1].TotalSeconds, 9, 10);
    }

    [Fact]
    public async Task Get_RetryAfterIsLongerThanAllowed_GivesTheResponseAtOnce()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.ServiceUnavailable, "61"));
        using HttpClient client = NewClient(server, new() { Timeout = null });

        using HttpResponseMessage response = await client.GetAsync("/", TestEnds);

        Assert.Contains("1 try: the server asks to come back in 61 s, and MaxRetryAfter is 60 s", response.ReasonPhrase, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Get_NextTryWouldComeTooLate_GivesTheResponseAtOnce()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.ServiceUnavailable, "5"));
        using HttpClient client = NewClient(server, new() { Timeout = TimeSpan.FromSeconds(4) });

        using HttpResponseMessage response = await client.GetAsync("/", TestEnds);

        Assert.Contains("its timeout of 4 s", response.ReasonPhrase, StringComparison.Ordinal);
        Assert.Equal(0, _time.ArmedTimers);
    }

    [Fact]
    public async Task Get_EachTry_TellsTheServerWhatIsLeft()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.ServiceUnavailable), Answer(HttpStatusCode.ServiceUnavailable), Answer(HttpStatusCode.OK));
        using HttpClient client = NewClient(server, new() { Timeout = TimeSpan.FromSeconds(10), TryTimeout = TimeSpan.FromSeconds(9.7) });
        using HttpRequestMessage request = new(HttpMethod.Get, "/");

        using HttpResponseMessage response = await PassTimeUntilAsync(client.SendAsync(request, TestEnds));

        Assert.Equal(["9.7", "9.7", "9.5"], server.Timeouts);
        Assert.False(request.Headers.Contains("x-request-timeout-seconds"));
    }

    [Theory]
    [InlineData("2.5", "2.5", "2.4")]
    [InlineData("0", "0", "0")]
    [InlineData("nonsense", "60", "59.9")]
    public async Task Get_CallersOwnTimeout_IsTheTimeout(string own, string first, string second)
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.ServiceUnavailable), Answer(HttpStatusCode.OK));
        using HttpClient client = NewClient(server);
        using HttpRequestMessage request = new(HttpMethod.Get, "/");
        request.Headers.Add("x-request-timeout-seconds", own);

        using HttpResponseMessage response = await PassTimeUntilAsync(client.SendAsync(request, TestEnds));

        Assert.Equal([first, second], server.Timeouts);
        Assert.Equal(own, Assert.Single(request.Headers.GetValues("x-request-timeout-seconds")));
    }

    [Fact]
    public async Task Get_TryHangs_IsEndedAndTheNextIsAnswered()
    {
        ScriptedServer server = new(_time, Hang, Answer(HttpStatusCode.OK));
        using HttpClient client = NewClient(server, new() { TryTimeout = TimeSpan.FromSeconds(2) });

        using HttpResponseMessage response = await PassTimeUntilAsync(client.GetAsync("/", TestEnds));

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal([0, 2100], server.At.Select(static t => t.TotalMilliseconds));
        Assert.Equal(0, _time.ArmedTimers);
    }

    /// <summary>Server and client know the same timeout of a try; whose timer is first must not decide whether there is another.</summary>
    [Fact]
    public async Task Get_ServerEndsTheTryAtItsTimeout_IsSentAgain()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.RequestTimeout), Answer(HttpStatusCode.OK));
        using HttpClient timed = NewClient(server, new() { TryTimeout = TimeSpan.FromSeconds(2) });
        using HttpClient untimed = NewClient(new(_time, Answer(HttpStatusCode.RequestTimeout)), new() { Timeout = null });

        using HttpResponseMessage answered = await PassTimeUntilAsync(timed.GetAsync("/", TestEnds));
        using HttpResponseMessage ended = await untimed.GetAsync("/", TestEnds);

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.RequestTimeout), (answered.StatusCode, ended.StatusCode));
    }

    [Fact]
    public async Task Get_AllHang_EndsAtItsTimeoutWithTheExceptionOfHttpClient()
    {
        ScriptedServer server = new(_time, Hang);
        using HttpClient client = NewClient(server, new() { Timeout = TimeSpan.FromSeconds(5), TryTimeout = TimeSpan.FromSeconds(2) });

        Task<HttpResponseMessage> call = client.GetAsync("/model?secret=1", TestEnds);
        TaskCanceledException thrown = await Assert.ThrowsAsync<TaskCanceledException>(() => PassTimeUntilAsync(call));

        Assert.IsType<TimeoutException>(thrown.InnerException);
        Assert.Equal(
            "GET http://model/model failed after 3 tries in 5 s. There was no response within 0.5 s. It was not sent again: the next try would come after its timeout of 5 s.", thrown.Message);
        Assert.Equal([0, 2100, 4500], server.At.Select(static t => t.TotalMilliseconds));
    }

    [Theory]
    [InlineData(HttpRequestError.ConnectionError)]
    [InlineData(HttpRequestError.NameResolutionError)]
    [InlineData(HttpRequestError.ProxyTunnelError)]
    [InlineData(HttpRequestError.SecureConnectionError)]
    public async Task Post_NothingWasSent_IsSentAgain(HttpRequestError error)
    {
        ScriptedServer server = new(_time, Fail(new HttpRequestException(error, "no connection", new SocketException())), Answer(HttpStatusCode.OK));
        using HttpClient client = NewClient(server);

        using HttpResponseMessage response = await PassTimeUntilAsync(client.PostAsync("/", new StringContent("a"), TestEnds));

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(["a", "a"], server.Bodies);
    }

    [Theory]
    [InlineData(HttpRequestError.ResponseEnded)]
    [InlineData(HttpRequestError.HttpProtocolError)]
    [InlineData(HttpRequestError.Unknown)]
    public async Task Request_BreaksOffOnTheWay_IsSentAgainOnlyIfItMayRunTwice(HttpRequestError error)
    {
        HttpRequestException failure = new(error, "The connection broke.", new IOException());
        ScriptedServer server = new(_time, Fail(failure), Answer(HttpStatusCode.OK), Fail(failure), Answer(HttpStatusCode.OK));
        using HttpClient client = NewClient(server);

        (await PassTimeUntilAsync(client.GetAsync("/", TestEnds))).Dispose();
        HttpRequestException thrown = await Assert.ThrowsAsync<HttpRequestException>(() => client.PostAsync("/", new StringContent("a"), TestEnds));

        Assert.Equal(3, server.At.Count);
        Assert.Equal(error, thrown.HttpRequestError);
        Assert.Same(failure, thrown.InnerException);
        Assert.Contains("POST http://model/ failed after 1 try in 0 s. The connection broke. It was not sent again: it may have been run", thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Get_CertificateIsNotTrusted_IsNotTriedAgain()
    {
        HttpRequestException failure = new(HttpRequestError.SecureConnectionError, "not trusted", new AuthenticationException());
        ScriptedServer server = new(_time, Fail(failure));
        using HttpClient client = NewClient(server);

        Assert.Same(failure, await Assert.ThrowsAsync<HttpRequestException>(() => client.GetAsync("/", TestEnds)));

        Assert.Single(server.At);
    }

    [Fact]
    public async Task Get_InnerHandlerIsBroken_ItsExceptionComesOutAsItIs()
    {
        InvalidOperationException failure = new("a bug");
        using HttpClient client = NewClient(new(_time, Fail(failure)));

        Assert.Same(failure, await Assert.ThrowsAsync<InvalidOperationException>(() => client.GetAsync("/", TestEnds)));
    }

    [Fact]
    public async Task Post_FailsAfterItMayHaveRun_IsNotRepeated()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.ServiceUnavailable, "1"));
        using HttpClient client = NewClient(server);

        using HttpResponseMessage response = await client.PostAsync("/", new StringContent("a"), TestEnds);

        Assert.Equal(["a"], server.Bodies);
        Assert.Contains("a POST must not be run twice", response.ReasonPhrase, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(HttpStatusCode.ServiceUnavailable)]
    [InlineData(HttpStatusCode.TooManyRequests)]
    public async Task Post_ServerSaysItDidNotRun_IsSentAgain(HttpStatusCode status)
    {
        ScriptedServer server = new(_time, Answer(status, "1", notRun: true), Answer(HttpStatusCode.OK));
        using HttpClient client = NewClient(server);

        using HttpResponseMessage response = await PassTimeUntilAsync(client.PostAsync("/", new StringContent("a"), TestEnds));

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(["a", "a"], server.Bodies);
    }

    [Fact]
    public async Task Post_UserSaysItMayRunTwice_IsSentAgain()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.BadGateway), Answer(HttpStatusCode.OK), Answer(HttpStatusCode.BadGateway), Answer(HttpStatusCode.OK));
        using HttpClient one = NewClient(server);
        using HttpRequestMessage request = new(HttpMethod.Post, "/") { Content = JsonContent.Create("a", TextJson.Default.String) };
        request.Options.Set(ServeClientHandler.MayRunTwice, true);
        using HttpClient all = NewClient(server, new() { RetryNonIdempotent = true });

        using HttpResponseMessage first = await PassTimeUntilAsync(one.SendAsync(request, TestEnds));
        using HttpResponseMessage second = await PassTimeUntilAsync(all.PatchAsync("/", new StringContent("b"), TestEnds));

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK), (first.StatusCode, second.StatusCode));
        Assert.Equal(["\"a\"", "\"a\"", "b", "b"], server.Bodies);
    }

    [Fact]
    public async Task Get_UserSaysItMustNotRunTwice_IsNotRepeated()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.BadGateway));
        using HttpClient client = NewClient(server);
        using HttpRequestMessage request = new(HttpMethod.Get, "/");
        request.Options.Set(ServeClientHandler.MayRunTwice, false);

        using HttpResponseMessage response = await client.SendAsync(request, TestEnds);

        Assert.Equal(HttpStatusCode.BadGateway, response.StatusCode);
        Assert.Single(server.At);
    }

    [Fact]
    public async Task Put_StreamOfKnownLength_IsKeptAndSentAgainWhole()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.BadGateway), Answer(HttpStatusCode.OK));
        using HttpClient client = NewClient(server, new() { MaxBufferedBytes = 5 });

        using HttpResponseMessage response = await PassTimeUntilAsync(client.PutAsync("/", OnceContent(length: 5), TestEnds));

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(["12345", "12345"], server.Bodies);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(5L)]
    public async Task Put_StreamThatIsNotKept_IsSentOnceAndTheCallerIsToldWhy(long? length)
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.BadGateway));
        using HttpClient client = NewClient(server, new() { MaxBufferedBytes = 4 });

        using HttpResponseMessage response = await client.PutAsync("/", OnceContent(length), TestEnds);

        Assert.Equal(["12345"], server.Bodies);
        Assert.Contains("its content cannot be sent again", response.ReasonPhrase, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Get_CallerCancels_EndsAtOnceWhereverItIs()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.ServiceUnavailable), Hang);
        using HttpClient client = NewClient(server);
        using CancellationTokenSource duringWait = new();
        using CancellationTokenSource duringTry = new();

        Task<HttpResponseMessage> waits = client.GetAsync("/", duringWait.Token);
        await _time.WhenArmedAsync(1, TestEnds);
        await duringWait.CancelAsync();
        TaskCanceledException first = await Assert.ThrowsAsync<TaskCanceledException>(() => waits);
        Task<HttpResponseMessage> hangs = client.GetAsync("/", duringTry.Token);
        await duringTry.CancelAsync();
        TaskCanceledException second = await Assert.ThrowsAsync<TaskCanceledException>(() => hangs);

        Assert.Equal((duringWait.Token, duringTry.Token), (first.CancellationToken, second.CancellationToken));
        Assert.Equal(2, server.At.Count);
        Assert.Equal(0, _time.ArmedTimers);
    }

    [Fact]
    public async Task Requests_AllFail_BudgetEndsRetriesForAllOfTheClient()
    {
        ScriptedServer server = new(_time, Answer(HttpStatusCode.ServiceUnavailable));
        using HttpClient client = NewClient(server, new() { RetryRatio = 0.1, RetriesPerSecond = 0, RetryBurst = 2 });
        string? reason = null;

        for (int i = 0; i < 100; i++)
        {
            using HttpResponseMessage response = await PassTimeUntilAsync(client.GetAsync("/", TestEnds));
            reason = response.ReasonPhrase;
        }

        // 2 to begin with and a tenth of each request, of which a little fades while the retries wait.
        Assert.InRange(server.At.Count, 100 + 2 + 8, 100 + 2 + 10);
        Assert.Contains("the retry budget is used up", reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task MaxRetriesIsZero_SendsOnceAndKeepsNothing()
    {
        ScriptedServer server = new(_time, Fail(new HttpRequestException(HttpRequestError.ConnectionError, "refused")));
        using HttpClient client = NewClient(server, new() { MaxRetries = 0 });
        HttpContent content = OnceContent(5);

        HttpRequestException thrown = await Assert.ThrowsAsync<HttpRequestException>(() => client.PutAsync("/", content, TestEnds));

        Assert.Contains("MaxRetries is 0", thrown.Message, StringComparison.Ordinal);
        Assert.Single(server.At);
    }

    [Fact]
    public void Send_Synchronously_IsRefusedWithTheWayOut()
    {
        using HttpClient client = NewClient(new(_time, Answer(HttpStatusCode.OK)));
        using HttpRequestMessage request = new(HttpMethod.Get, "/");

        Assert.Contains("SendAsync", Assert.Throws<NotSupportedException>(() => client.Send(request, TestEnds)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_Wrong_AreAllNamed()
    {
        ServeClientOptions wrong = new() { MaxRetries = 21, Timeout = TimeSpan.Zero, RetryRatio = double.NaN, MaxBackoff = TimeSpan.Zero };

        string message = Assert.Throws<ArgumentException>(() => new ServeClientHandler(new SocketsHttpHandler(), wrong)).Message;

        Assert.All(["MaxRetries", "Timeout", "RetryRatio", "MaxBackoff"], name => Assert.Contains($"{name} must be", message, StringComparison.Ordinal));
    }

    /// <summary>A stream that cannot be read twice.</summary>
    private static StreamContent OnceContent(long? length)
    {
        System.IO.Pipelines.Pipe pipe = new();
        pipe.Writer.Write("12345"u8);
        pipe.Writer.Complete();
        StreamContent content = new(pipe.Reader.AsStream());
        content.Headers.ContentLength = length;
        return content;
    }

    private HttpClient NewClient(ScriptedServer server, ServeClientOptions? options = null, double draw = 0.5) =>
        new(new ServeClientHandler(server, options, _time, new ChosenRandom(draw))) { BaseAddress = new("http://model") };

    /// <summary>Moves time from timer to timer, one millisecond at a time, until the call is over.</summary>
    /// <summary>Away from the test's synchronization context: with it, what a timer wakes runs on another thread, and time would pass between the start of a try's timer and the try.</summary>
    private Task<HttpResponseMessage> PassTimeUntilAsync(Task<HttpResponseMessage> call) => Task.Run(
        async () =>
        {
            while (!call.IsCompleted)
            {
                TestEnds.ThrowIfCancellationRequested();
                if (_time.ArmedTimers > 0)
                {
                    _time.Advance(TimeSpan.FromMilliseconds(1));
                }

                await Task.Yield();
            }

            return await call;
        },
        TestEnds);
}

[System.Text.Json.Serialization.JsonSerializable(typeof(string))]
internal sealed partial class TextJson : System.Text.Json.Serialization.JsonSerializerContext;
