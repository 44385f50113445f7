using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Cli;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Cli;

/// <summary>What commands that change a server do while it takes its time, on a clock that the test owns.</summary>
public sealed class ChangePatienceTests : IAsyncDisposable
{
    private const string MayStill = "It may still do what it was asked for: 'serve history' lists what it has accepted, 'serve status' shows what runs.";

    private readonly TempFolder _folder = new();
    private readonly ManualTimeProvider _time = new();
    private readonly StringWriter _out = new();
    private readonly StringWriter _error = new();
    private readonly SlowAdmin _server = new();
    private Action? _press;
    private bool _isWatched;

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _folder.Dispose();
        await _out.DisposeAsync();
        await _error.DisposeAsync();
    }

    [Theory]
    [InlineData(600, "deploy", "FILE")]
    [InlineData(600, "rollback")]
    [InlineData(600, "deploy", "FILE", "--wait")]
    [InlineData(30, "deploy", "FILE", "--wait", "--timeout", "30")]
    [InlineData(900, "rollback", "--wait", "--timeout", "900")]
    [InlineData(10, "shutdown")]
    public async Task Change_ThatIsNotAnswered_IsGivenUpAfterItsTimeAndSaysWhatMayBeDoneAllTheSame(int seconds, params string[] words)
    {
        Task<int> command = await AskedAsync(words);

        _time.Advance(TimeSpan.FromSeconds(seconds - 1));
        await Task.Yield();
        Assert.False(command.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal(1, await command.WaitAsync(TestServer.Deadline));
        Assert.Equal($"The server at {_server.Address}/ did not answer within {seconds} s. {MayStill}\n", _error.ToString());
    }

    [Fact]
    public async Task Change_ThatTakesLongToBuild_IsWaitedFor()
    {
        Task<int> command = await AskedAsync("deploy", "FILE");

        _time.Advance(TimeSpan.FromSeconds(599));
        _server.Answer();

        Assert.Equal(0, await command.WaitAsync(TestServer.Deadline));
        Assert.StartsWith("Sent deploy request successfully. It is generation 7.", _out.ToString(), StringComparison.Ordinal);
        Assert.Empty(_error.ToString());
    }

    /// <summary>What it says is how long somebody waits, and not how long for each of two things.</summary>
    [Fact]
    public async Task Timeout_CountsWhatTheServerBuiltBeforeItAccepted()
    {
        Task<int> command = await AskedAsync("deploy", "FILE", "--wait", "--timeout", "30");

        _time.Advance(TimeSpan.FromSeconds(20));
        _server.Answer();
        await _server.Looked.WaitAsync(TestServer.Deadline);
        _time.Advance(TimeSpan.FromSeconds(10));

        Assert.Equal(1, await command.WaitAsync(TestServer.Deadline));
        Assert.Equal("Generation 7 was neither healthy nor failed after 30 s. It goes on: 'serve status' shows how.\n", _error.ToString());
    }

    [Fact]
    public async Task Timeout_LongerThanATimerTakes_IsOne()
    {
        Task<int> command = await AskedAsync("deploy", "FILE", "--wait", "--timeout", "900000000");

        _server.End();
        _server.Answer();

        Assert.Equal(0, await command.WaitAsync(TestServer.Deadline));
    }

    [Theory]
    [InlineData("deploy", "FILE")]
    [InlineData("deploy", "FILE", "--wait")]
    [InlineData("rollback")]
    public async Task Interrupt_BeforeTheServerHasAnswered_SaysThatItMayAcceptIt(params string[] words)
    {
        Task<int> command = await AskedAsync(words);

        _press!();

        Assert.Equal(130, await command.WaitAsync(TestServer.Deadline));
        Assert.Equal($"Interrupted before the server at {_server.Address}/ has answered. {MayStill}\n", _error.ToString());
        Assert.Null(_press);
    }

    [Fact]
    public async Task Interrupt_OfTheWait_SaysThatTheDeployGoesOn()
    {
        Task<int> command = await AskedAsync("deploy", "FILE", "--wait");
        _server.Answer();
        await _server.Looked.WaitAsync(TestServer.Deadline);

        _press!();

        Assert.Equal(130, await command.WaitAsync(TestServer.Deadline));
        Assert.Equal("Interrupted. Generation 7 goes on: 'serve status' shows how it comes up, 'serve history' how it has ended, and 'serve rollback' takes it back.\n", _error.ToString());
        Assert.Empty(_out.ToString());
        Assert.Null(_press);
    }

    /// <summary>Once each, and only where somebody sees it.</summary>
    [Theory]
    [InlineData(true, "Waiting for the server to build the applications...\nGeneration 7 is accepted. Waiting until it is healthy...\n")]
    [InlineData(false, "")]
    public async Task Wait_ThatIsLong_TellsWhoIsThere(bool isWatched, string told)
    {
        _isWatched = isWatched;
        Task<int> command = await AskedAsync("deploy", "FILE", "--wait", "--timeout", "4000000");
        await _time.WhenArmedAsync(isWatched ? 2 : 1, TestServer.Deadline);
        _time.Advance(TimeSpan.FromSeconds(2.9));
        await Task.Yield();
        Assert.Empty(_error.ToString());

        _time.Advance(TimeSpan.FromSeconds(10));
        _server.Answer();
        await _time.PassUntilAsync(_server.LookedOften, TimeSpan.FromMilliseconds(50), TestServer.Deadline);
        _server.End();
        await _time.PassUntilAsync(command, TimeSpan.FromMilliseconds(50), TestServer.Deadline);

        Assert.Equal(0, await command);
        Assert.Equal(told, _error.ToString());
        Assert.Equal("Generation 7 is healthy.\n", _out.ToString());
    }

    [Fact]
    public async Task Change_WhoseServerIsLost_SaysWhatItMayHaveDone()
    {
        Task<int> command = await AskedAsync("deploy", "FILE");

        _server.Lose();

        Assert.Equal(1, await command.WaitAsync(TestServer.Deadline));
        Assert.StartsWith($"The server at {_server.Address}/ was lost before it had answered: ", _error.ToString(), StringComparison.Ordinal);
        Assert.EndsWith($". {MayStill}\n", _error.ToString(), StringComparison.Ordinal);
    }

    /// <summary>Not as long as for its answer. A queue of connections that is full takes no more of them, and says nothing.</summary>
    [Theory]
    [InlineData("deploy", "FILE")]
    [InlineData("status")]
    public async Task Connect_ThatIsNotTaken_IsGivenUpByItself(params string[] words)
    {
        using Socket listener = new(SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(0);
        using Socket queued = new(SocketType.Stream, ProtocolType.Tcp);
        await queued.ConnectAsync(listener.LocalEndPoint!, TestServer.Deadline);
        string address = $"http://{listener.LocalEndPoint}";

        int exitCode = await RunAsync(address, words).WaitAsync(TestServer.Deadline);

        Assert.Equal(1, exitCode);
        Assert.Equal($"No server answers at {address}/: no connection within 0.2 s. Start one with 'serve run', or name its admin address with --address or SERVE_ADDRESS.\n", _error.ToString());
    }

    /// <summary>A command that has asked its question.</summary>
    private async Task<Task<int>> AskedAsync(params string[] words)
    {
        await _server.StartAsync();
        Task<int> command = RunAsync(_server.Address, words);
        await _server.Asked.WaitAsync(TestServer.Deadline);
        return command;
    }

    private Task<int> RunAsync(string address, string[] words)
    {
        string file = _folder.Write("config.toml", "");
        CliContext context = new(new DeploymentRegistry(), _out, _error, _ => null, Colour: false)
        {
            Time = _time,
            IsWatched = _isWatched,
            LongestConnect = TimeSpan.FromSeconds(0.2),
            OnInterrupt = pressed =>
            {
                _press = pressed;
                return new Registration(() => _press = null);
            },
        };
        return ServeCli.RunAsync([.. words.Select(w => w == "FILE" ? file : w), "--address", address], context);
    }

    private sealed class Registration(Action dispose) : IDisposable
    {
        public void Dispose() => dispose();
    }

    /// <summary>Answers a change when it is told to, with a generation that ends when it is told to.</summary>
    private sealed class SlowAdmin : IAsyncDisposable
    {
        private readonly TaskCompletionSource _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _looked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _lookedOften = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private WebApplication? _application;
        private int _looks;
        private volatile bool _hasEnded;
        private volatile bool _isLost;

        public string Address => _application!.Urls.First();

        public Task Asked => _asked.Task;

        public Task Looked => _looked.Task;

        /// <summary>For longer than anybody waits without a word.</summary>
        public Task LookedOften => _lookedOften.Task;

        public async Task StartAsync()
        {
            WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
            _application = builder.Build();
            _application.Run(HandleAsync);
            await _application.StartAsync(TestServer.Deadline);
        }

        public void Answer() => _answer.SetResult();

        public void End() => _hasEnded = true;

        public void Lose()
        {
            _isLost = true;
            Answer();
        }

        public async ValueTask DisposeAsync()
        {
            if (_application is not null)
            {
                await _application.DisposeAsync();
            }
        }

        private async Task HandleAsync(HttpContext context)
        {
            switch (context.Request.Path.Value)
            {
                case "/api/serve/generations/7":
                    _looked.TrySetResult();
                    if (++_looks == 50)
                    {
                        _lookedOften.SetResult();
                    }

                    await context.Response.WriteAsync($$"""{"generation": 7, "outcome": "{{(_hasEnded ? "good" : "pending")}}"}""", TestServer.Deadline);
                    break;
                case "/api/serve/applications/" when context.Request.Method == "GET":
                    await context.Response.WriteAsync("""{"applications": {}}""", TestServer.Deadline);
                    break;
                default:
                    _asked.TrySetResult();
                    await _answer.Task.WaitAsync(context.RequestAborted);
                    if (_isLost)
                    {
                        context.Abort();
                        return;
                    }

                    await context.Response.WriteAsync("""{"generation": 7, "restored_from": 3}""", TestServer.Deadline);
                    break;
            }
        }
    }
}
