using System.Net;
using System.Net.Sockets;
using Serve.Embedded.Tests.Client;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Functional;

/// <summary>The library's client against the library's server: what one says is what the other understands.</summary>
public abstract class ClientTests(ServerForm form)
{
    private readonly ManualTimeProvider _clientTime = new();

    private static CancellationToken Deadline => TestServer.Deadline;

    [Fact]
    public async Task Post_Refused_WaitsAsLongAsTheServerAsksAndIsAnswered()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(
            form, probe.Register(), Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 0, Backpressure = new() { StatusCode = 429, RetryAfterS = 7 } }));
        Task<HttpResponseMessage> running = server.Client.GetAsync("/", Deadline);
        ProbeCall call = await probe.NextAsync();
        using HttpClient client = NewClient(server.Address);

        Task<HttpResponseMessage> retried = client.PostAsync("/", new StringContent("a"), Deadline);
        await BackOffAsync();
        call.Return("one");
        await running;
        _clientTime.Advance(TimeSpan.FromSeconds(6.999));
        Assert.False(probe.TryNext(out _));
        _clientTime.Advance(TimeSpan.FromSeconds(0.002));
        (await probe.NextAsync()).Return("two");
        using HttpResponseMessage answer = await retried;

        Assert.Equal("two", await answer.Content.ReadAsStringAsync(Deadline));
        Assert.Equal(2, TriesOf(answer));
    }

    [Fact]
    public async Task Post_HandlerFails_IsNotRunTwice()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(form, probe.Register(), Probe.Config());
        using HttpClient client = NewClient(server.Address);

        Task<HttpResponseMessage> post = client.PostAsync("/", new StringContent("a"), Deadline);
        (await probe.NextAsync()).Throw(new InvalidOperationException("after it has charged the card"));
        using HttpResponseMessage answer = await post;

        Assert.Equal(HttpStatusCode.InternalServerError, answer.StatusCode);
        Assert.False(probe.TryNext(out _));
        Assert.Equal(0, _clientTime.ArmedTimers);
    }

    [Fact]
    public async Task Get_HandlerFails_IsRunAgain()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(form, probe.Register(), Probe.Config());
        using HttpClient client = NewClient(server.Address);

        Task<HttpResponseMessage> get = client.GetAsync("/", Deadline);
        (await probe.NextAsync()).Throw(new InvalidOperationException("for once"));
        await BackOffAsync();
        _clientTime.Advance(TimeSpan.FromSeconds(1));
        (await probe.NextAsync()).Return("ok");
        using HttpResponseMessage answer = await get;

        Assert.Equal("ok", await answer.Content.ReadAsStringAsync(Deadline));
    }

    /// <summary>The server gives up when the client does: 408 comes from it, at the time that the client told it.</summary>
    [Fact]
    public async Task Post_Timeout_IsTheServersToo()
    {
        Probe probe = new();
        ManualTimeProvider time = new();
        await using TestServer server = await TestServer.StartAsync(form, probe.Register(), Probe.Config(), time);
        using HttpClient client = NewClient(server.Address, new() { Timeout = TimeSpan.FromSeconds(2.5) });
        int armed = time.ArmedTimers;

        Task<HttpResponseMessage> post = client.PostAsync("/", new StringContent("a"), Deadline);
        ProbeCall call = await probe.NextAsync();
        await time.WhenArmedAsync(armed + 1, Deadline);
        time.Advance(TimeSpan.FromSeconds(2.4));
        Assert.False(call.Cancelled.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(0.2));
        await call.Cancelled.WaitAsync(Deadline);
        using HttpResponseMessage answer = await post;

        Assert.Equal(HttpStatusCode.RequestTimeout, answer.StatusCode);
        Assert.Contains("timed out after 2.5s", await answer.Content.ReadAsStringAsync(Deadline), StringComparison.Ordinal);
        call.Return("too late");
    }

    /// <summary>A large body whose client asks first is refused before a byte of it is sent, and is sent whole when there is room.</summary>
    [Fact]
    public async Task Post_LargeBodyThatAsksFirst_IsRefusedUnsentAndThenSentWhole()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(form, probe.Register(), Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 0 }));
        Task<HttpResponseMessage> running = server.Client.GetAsync("/", Deadline);
        ProbeCall call = await probe.NextAsync();
        using HttpClient client = NewClient(server.Address);
        using HttpRequestMessage request = new(HttpMethod.Post, "/") { Content = new ByteArrayContent(new byte[3_000_000]) };
        request.Headers.ExpectContinue = true;

        Task<HttpResponseMessage> post = client.SendAsync(request, Deadline);
        await BackOffAsync();
        call.Return("one");
        await running;
        _clientTime.Advance(TimeSpan.FromSeconds(30));
        (await probe.NextAsync()).Return("two");
        using HttpResponseMessage answer = await post;

        Assert.Equal(2, TriesOf(answer));
        Assert.Equal("two", await answer.Content.ReadAsStringAsync(Deadline));
    }

    /// <summary>The header says what is true: not of a refusal that came after a handler had begun.</summary>
    [Fact]
    public async Task Refusal_SaysThatNothingWasRun_OnlyWhereNothingWas()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(form, probe.Register(), Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 0 }));
        Task<HttpResponseMessage> running = server.Client.GetAsync("/", Deadline);
        ProbeCall call = await probe.NextAsync();

        using HttpResponseMessage refused = await server.Client.GetAsync("/", Deadline);
        call.Throw(new BackPressureException("Request dropped due to backpressure by a child.", 503, 1));
        using HttpResponseMessage below = await running;

        Assert.Equal((HttpStatusCode.ServiceUnavailable, HttpStatusCode.ServiceUnavailable), (refused.StatusCode, below.StatusCode));
        Assert.Equal("?1", Assert.Single(refused.Headers.GetValues("X-Request-Not-Run")));
        Assert.True(below.Headers.Contains("Retry-After"));
        Assert.False(below.Headers.Contains("X-Request-Not-Run"));
    }

    private HttpClient NewClient(Uri address, ServeClientOptions? options = null) =>
        new(new ServeClientHandler(new SocketsHttpHandler { UseProxy = false }, options ?? new() { Timeout = null }, _clientTime, new ChosenRandom(0))) { BaseAddress = address };

    private static int TriesOf(HttpResponseMessage response) => response.RequestMessage!.Options.TryGetValue(ServeClientHandler.Tries, out int tries) ? tries : 0;

    /// <summary>Until the first try has failed: without a timeout the only timer is that of the wait.</summary>
    private Task BackOffAsync() => _clientTime.WhenArmedAsync(1, Deadline);
}

public sealed class PortClientTests() : ClientTests(ServerForm.Port);

public sealed class EmbeddedClientTests() : ClientTests(ServerForm.Embedded);

/// <summary>What real connections fail with.</summary>
public sealed class ClientConnectionTests
{
    private readonly ManualTimeProvider _time = new();

    private static CancellationToken Deadline => TestServer.Deadline;

    /// <summary>A stream that can be read only once, of unknown length: it is sent whole, because nothing of it was read before there was a connection.</summary>
    [Fact]
    public async Task Post_NobodyListensYet_IsSentWhenSomebodyDoes()
    {
        using Socket listener = Bind();
        using HttpClient client = NewClient();
        using HttpRequestMessage request = new(HttpMethod.Post, AddressOf(listener)) { Content = new StreamContent(new OnceStream("hello"u8.ToArray())) };

        Task<HttpResponseMessage> post = client.SendAsync(request, Deadline);
        await _time.WhenArmedAsync(1, Deadline);
        listener.Listen();
        _time.Advance(TimeSpan.FromSeconds(1));
        using RawConnection connection = new(await listener.AcceptAsync(Deadline));
        string received = await connection.ReadUntilAsync("0\r\n\r\n");
        await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        using HttpResponseMessage answer = await post;

        Assert.Contains("\r\nhello\r\n", received, StringComparison.Ordinal);
        Assert.Equal("ok", await answer.Content.ReadAsStringAsync(Deadline));
    }

    /// <summary>The server has read it and dies: a GET is sent again, a POST never.</summary>
    [Fact]
    public async Task Request_ConnectionClosesAfterItWasSent_OnlyAGetIsSentAgain()
    {
        using Socket listener = Bind();
        listener.Listen();
        using HttpClient client = NewClient();

        Task<HttpResponseMessage> post = client.PostAsync(AddressOf(listener), new StringContent("pay"), Deadline);
        await ReadAndCloseAsync(listener, "pay");
        HttpRequestException thrown = await Assert.ThrowsAsync<HttpRequestException>(() => post);
        Assert.Contains("a POST must not be run twice", thrown.Message, StringComparison.Ordinal);
        Assert.Equal(0, _time.ArmedTimers);

        Task<HttpResponseMessage> get = client.GetAsync(AddressOf(listener), Deadline);
        await ReadAndCloseAsync(listener, "\r\n\r\n");
        await _time.WhenArmedAsync(1, Deadline);
        _time.Advance(TimeSpan.FromSeconds(1));
        using RawConnection connection = new(await listener.AcceptAsync(Deadline));
        await connection.ReadUntilAsync("\r\n\r\n");
        await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        using HttpResponseMessage answer = await get;

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    /// <summary>After a byte of its answer: SocketsHttpHandler by itself sends a request without content again when there was none.</summary>
    private static async Task ReadAndCloseAsync(Socket listener, string end)
    {
        using RawConnection connection = new(await listener.AcceptAsync(Deadline));
        await connection.ReadUntilAsync(end);
        await connection.SendAsync("H");
    }

    /// <summary>A port of its own, on which connections are refused until somebody listens.</summary>
    private static Socket Bind()
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return socket;
    }

    private static Uri AddressOf(Socket listener) => new($"http://{listener.LocalEndPoint}/");

    private HttpClient NewClient() => new(new ServeClientHandler(new SocketsHttpHandler { UseProxy = false }, new() { Timeout = null }, _time, new ChosenRandom(0)));

    private sealed class OnceStream(byte[] bytes) : MemoryStream(bytes)
    {
        public override bool CanSeek => false;
    }
}
