using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Deployments;
using Serve.Embedded.Hosting;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Functional;

/// <summary>A whole server in this process on free ports, with a client. What it logs can be asked for.</summary>
internal sealed class TestServer : IAsyncDisposable
{
    private readonly LoggerFactory _loggers;
    private readonly WebApplication? _host;
    private bool _stopped;

    private readonly ManualTimeProvider? _time;

    private TestServer(Server server, Deployer deployer, ApplyOutcome outcome, FakeLogCollector logs, LoggerFactory loggers, ManualTimeProvider? time, WebApplication? host = null)
    {
        _time = time;
        _host = host;
        Server = server;
        Deployer = deployer;
        Outcome = outcome;
        Logs = logs;
        _loggers = loggers;
        Address = new(host is null ? server.Addresses[0] : host.Urls.First());
        Client = NewClient();
    }

    /// <summary>The application that it is embedded in.</summary>
    public WebApplication? Host => _host;

    public Server Server { get; }

    public Deployer Deployer { get; }

    public ApplyOutcome Outcome { get; }

    public FakeLogCollector Logs { get; }

    public Uri Address { get; }

    public HttpClient Client { get; }

    /// <summary>Requests that wait in all deployments.</summary>
    public int Waiting => Server.Status.Applications.SelectMany(a => a.Deployments).Sum(d => d.Served.Gate.InOrder);

    public static CancellationToken Deadline => TestContext.Current.CancellationToken;

    public static Task<TestServer> StartAsync(ServerForm form, DeploymentRegistry registry, ServeConfig config, TimeProvider? time = null) =>
        form == ServerForm.Embedded ? EmbedAsync(registry, config, time) : StartAsync(registry, config, time);

    /// <summary>The same server inside an application with a Kestrel of its own.</summary>
    public static async Task<TestServer> EmbedAsync(
        DeploymentRegistry registry, ServeConfig config, TimeProvider? time = null, Action<WebApplicationBuilder>? build = null, Action<WebApplication>? map = null, HttpProtocols protocols = HttpProtocols.Http1)
    {
        FakeLogCollector logs = NewLogs();
        LoggerFactory loggers = new([new FakeLoggerProvider(logs)]);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddSingleton<ILoggerFactory>(loggers);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = protocols));
        builder.Services.AddServe(serve =>
        {
            serve.Registry = registry;
            serve.Config = config;
            serve.Time = time;
            serve.AccessLog = true;
        });
        build?.Invoke(builder);
        WebApplication host = builder.Build();
        (map ?? (static app => app.MapServe()))(host);
        await host.StartAsync(Deadline);
        EmbeddedServer embedded = host.Services.GetRequiredService<ServeHost>().Running!;
        return new(embedded.Server, embedded.Deployer, await (await embedded.First).Settled, logs, loggers, time as ManualTimeProvider, host);
    }

    public static async Task<TestServer> StartAsync(DeploymentRegistry registry, ServeConfig config, TimeProvider? time = null, ServeTelemetry? telemetry = null)
    {
        FakeLogCollector logs = NewLogs();
        LoggerFactory loggers = new([new FakeLoggerProvider(logs)]);
        bool onEventThreads = registry.IsOnlyBuiltIn();
        ServeEnvironment environment = new(time ?? TimeProvider.System, new SeededRandom(1), onEventThreads ? EventLoops.Resume : ServeEnvironment.ResumeOnThreadPool, loggers, onEventThreads) { Telemetry = telemetry ?? ServeTelemetry.Silent };
        ConfigSource source = new(path: null, registry, new Dictionary<string, string>(), _ => null);
        Deployer? deployer = null;
        config = config with { Http = config.Http with { Port = 0 }, Admin = config.Admin with { Port = 0 } };
        Server server = await Server.CreateAsync(
            config,
            registry,
            environment,
            new(new()),
            starting => deployer = new(starting, source, GenerationStore.Open((string?)null, environment.Time, NullLogger.Instance), loggers.CreateLogger(LogCategories.Server), () => { }));
        ApplyRequest first = await deployer!.BootAsync(config, GenerationSource.File, restoredFrom: null, server.ListenAsync);
        ApplyOutcome outcome = await first.Settled;
        return new(server, deployer, outcome, logs, loggers, time as ManualTimeProvider);
    }

    /// <summary>A client with its own connections.</summary>
    public HttpClient NewClient() => new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { BaseAddress = Address };

    /// <summary>A connection on which a test says what it likes.</summary>
    public async Task<RawConnection> ConnectAsync(Encoding? encoding = null)
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(Address.Host, Address.Port, Deadline);
        return new(socket) { Encoding = encoding ?? Encoding.UTF8 };
    }

    public async Task<ApplyOutcome> ApplyAsync(ServeConfig config) =>
        await (await Deployer.DeployAsync(config with { Http = config.Http with { Port = 0 }, Admin = config.Admin with { Port = 0 } }, GenerationSource.Code)).Request.Settled;

    public IEnumerable<FakeLogRecord> LogsOf(int eventId) => Logs.GetSnapshot().Where(r => r.Id.Id == eventId);

    /// <summary>The first line under this id, once it is written.</summary>
    public async Task<FakeLogRecord> LogAsync(int eventId)
    {
        while (true)
        {
            if (LogsOf(eventId).FirstOrDefault() is { } record)
            {
                return record;
            }

            Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    /// <summary>For what nobody tells: somebody has to look.</summary>
    public static async Task UntilAsync(Func<bool> condition, [CallerArgumentExpression(nameof(condition))] string what = "")
    {
        long began = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Deadline.ThrowIfCancellationRequested();
            ManualTimeProvider.AssertComes(began, what);
            await Task.Yield();
        }
    }

    public async Task StopAsync()
    {
        _stopped = true;
        await PassTimeUntilAsync(_host is null ? Server.StopAsync() : _host.StopAsync(Deadline));
    }

    /// <summary>Lets a manual clock run until this is done.</summary>
    public Task PassTimeUntilAsync(Task done) => _time?.PassUntilAsync(done, TimeSpan.FromMilliseconds(50)) ?? done;

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        if (!_stopped)
        {
            await StopAsync();
        }

        if (_host is null)
        {
            await Server.DisposeAsync();
        }
        else
        {
            await _host.DisposeAsync();
        }

        _loggers.Dispose();
    }

    private static FakeLogCollector NewLogs() =>
        FakeLogCollector.Create(new() { FilteredLevels = new HashSet<LogLevel> { LogLevel.Information, LogLevel.Warning, LogLevel.Error } });
}
