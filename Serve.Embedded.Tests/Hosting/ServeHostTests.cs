using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Options;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Hosting;

/// <summary>A server in a program that has no host.</summary>
public sealed class ServeHostTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("serve-host").FullName;

    private static CancellationToken Deadline => TestContext.Current.CancellationToken;

    private string ConfigFile => Path.Combine(_folder, "config.toml");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task GetHandle_BeforeTheStart_IsUnavailableThenServes()
    {
        await using ServeHost host = ServeHost.Create(Doubling);
        DeploymentHandle<int, int> handle = host.GetHandle<int, int>("numbers", "Double");

        await Assert.ThrowsAsync<DeploymentUnavailableException>(async () => await handle.CallAsync(1, Deadline));
        await host.StartAsync(Deadline);

        Assert.Equal(42, await handle.CallAsync(21, Deadline));
        await host.StopAsync(Deadline);
        await Assert.ThrowsAsync<DeploymentUnavailableException>(async () => await handle.CallAsync(1, Deadline));
    }

    [Fact]
    public async Task GetHandle_NoSuchDeploymentOrOtherTypes_SaysSoAtOnce()
    {
        await using ServeHost host = ServeHost.Create(Doubling);

        Assert.Contains("It has: Double, Front.", Assert.Throws<ArgumentException>(() => host.GetHandle<int, int>("numbers", "Triple")).Message, StringComparison.Ordinal);
        Assert.Contains("takes Int32 and answers Int32, not String and Int32", Assert.Throws<ArgumentException>(() => host.GetHandle<string, int>("numbers", "Double")).Message, StringComparison.Ordinal);
    }

    /// <summary>An application that nobody reaches over HTTP need not answer it; and then nobody may expose it.</summary>
    [Fact]
    public async Task AddApplication_WithoutAPrefix_NeedsNoHttp()
    {
        await using ServeHost host = ServeHost.Create(serve => serve.AddApplication("numbers", routePrefix: null, app => app.Add<int, int>("Double", _ => new Double())));
        await host.StartAsync(Deadline);
        Assert.Equal(42, await host.GetHandle<int, int>("numbers", "Double").CallAsync(21, Deadline));
        Assert.Contains("'numbers' cannot be mapped", Assert.Throws<ArgumentException>(() => host.RouteTo("numbers", deployment: null)).Message, StringComparison.Ordinal);

        await File.WriteAllTextAsync(ConfigFile, "[[applications]]\nname = \"numbers\"\nroute_prefix = \"/n\"\n", Deadline);
        await using ServeHost exposed = ServeHost.Create(serve =>
        {
            serve.ConfigFile = ConfigFile;
            serve.AddApplication("numbers", routePrefix: null, app => app.Add<int, int>("Double", _ => new Double()));
        });
        ServeException wrong = await Assert.ThrowsAsync<ServeException>(() => exposed.StartAsync(Deadline));
        Assert.Contains(":3:16: ", Assert.Single(wrong.Errors), StringComparison.Ordinal);
        Assert.Contains("application 'numbers' cannot be exposed at '/n': its first deployment takes calls from code, not HTTP", wrong.Errors[0], StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => ServeHost.Create(serve => serve.AddApplication("numbers", app => app.Add<int, int>("Double", _ => new Double()))));
    }

    /// <summary>Constructors say it: nothing is started.</summary>
    [Fact]
    public void AddApplication_KeysOfTwoApplicationsCloseACircle_SaysWhichWayItGoes()
    {
        ArgumentException circle = Assert.Throws<ArgumentException>(() => ServeHost.Create(serve => serve
            .AddApplication("one", routePrefix: null, app => app.Add<HttpRequest, string>("Front", _ => new Nothing()).Add<AsksTwo, int, int>("A"))
            .AddApplication("two", routePrefix: null, app => app.Add<HttpRequest, string>("Front", _ => new Nothing()).Add<AsksB, int, int>("A").Add<AsksOne, int, int>("B"))));

        Assert.StartsWith("Deployments call each other in a circle: two/A -> two/B -> one/A -> two/A. ", circle.Message, StringComparison.Ordinal);
    }

    /// <summary>What a factory asks for shows when its replica is made: the deploy fails.</summary>
    [Fact]
    public async Task GetHandle_InAConstructorThatClosesACircle_IsAFailedDeployThatSaysWhich()
    {
        ManualTimeProvider time = new();
        await using ServeHost host = ServeHost.Create(
            serve =>
            {
                serve.WaitUntilRunning = true;
                serve.AddApplication("one", routePrefix: null, app => app.Add<HttpRequest, string>("Front", _ => new Nothing()).Add<AsksTwo, int, int>("A"));
                serve.AddApplication("two", routePrefix: null, app => app.Add<HttpRequest, string>("Front", _ => new Nothing()).Add<int, int>(
                    "A", context => new AsksOne(context.Services.GetRequiredService<IServeHandles>().GetHandle<int, int>("one", "A")), new() { MaxConstructorRetryCount = 1 }));
            },
            services => services.AddSingleton<TimeProvider>(time));
        Task starts = host.StartAsync(Deadline);
        while (!starts.IsCompleted)
        {
            time.Advance(TimeSpan.FromMilliseconds(50));
            await Task.Yield();
        }

        ServeException failed = await Assert.ThrowsAsync<ServeException>(() => starts);
        Assert.Contains("call each other in a circle: two/A -> one/A -> two/A.", failed.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task GetHandle_ApplicationOfTheFile_IsJudgedByItsCalls()
    {
        await File.WriteAllTextAsync(ConfigFile, "[[applications]]\nname = \"filed\"\nimport_path = \"test:numbers\"\n", Deadline);
        await using ServeHost host = ServeHost.Create(serve =>
        {
            serve.ConfigFile = ConfigFile;
            serve.Registry.AddApplication("test:numbers", Numbers);
        });
        await host.StartAsync(Deadline);

        Assert.Equal(4, await host.GetHandle<int, int>("filed", "Double").CallAsync(2, Deadline));
        await Assert.ThrowsAsync<ArgumentException>(async () => await host.GetHandle<int, string>("filed", "Double").CallAsync(2, Deadline));
        await Assert.ThrowsAsync<DeploymentUnavailableException>(async () => await host.GetHandle<int, int>("filed", "Triple").CallAsync(2, Deadline));
    }

    [Fact]
    public async Task Replica_MadeByTheContainer_HasAScopeThatEndsAfterIt()
    {
        Ends ends = new();
        await using (ServeHost host = ServeHost.Create(
            serve => serve.AddApplication("app", null, app => app
                .Add<HttpRequest, string>("Front", _ => new Nothing())
                .Add<Scoped, int, int>("Scoped", new() { NumReplicas = 2 })),
            services => services.AddSingleton(ends).AddScoped<Belonging>()))
        {
            host.Options.WaitUntilRunning = true;
            await host.StartAsync(Deadline);

            Assert.Equal(2, ends.Made);
            Assert.Empty(ends.Order);
        }

        Assert.Equal(4, ends.Order.Count);
        Assert.Equal(["handler", "scope"], ends.Order.Where(e => e.Replica == ends.Order[0].Replica).Select(e => e.What));
        Assert.Equal(2, ends.Order.Select(e => e.Replica).Distinct().Count());
    }

    [Fact]
    public async Task Replica_ConstructorThrows_ItsScopeEnds()
    {
        Ends ends = new();
        await using ServeHost host = ServeHost.Create(
            serve =>
            {
                serve.WaitUntilRunning = true;
                serve.AddApplication("app", null, app => app
                    .Add<HttpRequest, string>("Front", _ => new Nothing())
                    .Add<int, int>("Scoped", context =>
                    {
                        context.Services.GetRequiredService<Belonging>();
                        throw new InvalidOperationException("no model");
                    }, new() { MaxConstructorRetryCount = 1 }));
            },
            services => services.AddSingleton(ends).AddScoped<Belonging>());

        ServeException failure = await Assert.ThrowsAsync<ServeException>(() => host.StartAsync(Deadline));

        Assert.Contains("no model", Assert.Single(failure.Errors), StringComparison.Ordinal);
        Assert.Equal("scope", Assert.Single(ends.Order).What);
    }

    [Fact]
    public async Task StartAsync_FileHasErrors_NamesAllOfThem()
    {
        await File.WriteAllTextAsync(ConfigFile, "[http_options]\nport = -1\nno_such_key = 1\n", Deadline);
        await using ServeHost host = ServeHost.Create(serve =>
        {
            Doubling(serve);
            serve.ConfigFile = ConfigFile;
        });

        ServeException failure = await Assert.ThrowsAsync<ServeException>(() => host.StartAsync(Deadline));

        Assert.Equal(2, failure.Errors.Count);
        Assert.StartsWith($"{ConfigFile}:2:8: ", failure.Errors[0], StringComparison.Ordinal);
    }

    /// <summary>What the host decides itself is not taken in silence; what has its default, or is used, is no matter.</summary>
    [Fact]
    public async Task StartAsync_FileSaysWhatTheHostDecides_IsWarnedOf()
    {
        await File.WriteAllTextAsync(
            ConfigFile, "[http_options]\nport = 8000\nmax_connections = 5\nrequest_timeout_s = 3.0\n[logging_config]\nlog_level = \"DEBUG\"\nenable_access_log = false\n[admin_options]\nport = 9\n", Deadline);
        FakeLoggerProvider lines = new();
        await using ServeHost host = ServeHost.Create(
            serve =>
            {
                Doubling(serve);
                serve.ConfigFile = ConfigFile;
            },
            services => services.AddLogging(logging => logging.AddProvider(lines)));

        await host.StartAsync(Deadline);

        Assert.Equal(
            $"{ConfigFile}: http_options.max_connections, admin_options.port, logging_config.log_level have no effect inside a host, which decides that itself; take them out",
            Assert.Single(lines.Collector.GetSnapshot(), line => line.Message.Contains("no effect", StringComparison.Ordinal)).Message);
        await host.StopAsync(Deadline);
    }

    [Fact]
    public void Create_OptionsThatAProgramsOwnRuleForbids_SaysItsWords()
    {
        OptionsValidationException refusal = Assert.Throws<OptionsValidationException>(() => ServeHost.Create(
            Doubling, services => services.AddOptions<ServeOptions>().Validate(serve => serve.ConfigFile is not null, "Here a file must be named.")));

        Assert.Equal("Here a file must be named.", Assert.Single(refusal.Failures));
    }

    [Fact]
    public async Task ReloadAsync_FileOverridesCode_AndWhatIsTakenOutComesBack()
    {
        await File.WriteAllTextAsync(ConfigFile, "[[applications]]\nname = \"numbers\"\nroute_prefix = \"/n\"\n[[applications.deployments]]\nname = \"Double\"\nnum_replicas = 3\n", Deadline);
        await using ServeHost host = ServeHost.Create(serve =>
        {
            Doubling(serve);
            serve.ConfigFile = ConfigFile;
            serve.WaitUntilRunning = true;
        });
        await host.StartAsync(Deadline);
        (string? prefix, int replicas) overridden = (host.Status.Applications[0].RoutePrefix, host.Status.Applications[0].Deployments[1].RunningReplicas);

        await File.WriteAllTextAsync(ConfigFile, "# Nothing.\n", Deadline);
        await host.ReloadAsync(Deadline);
        ServeApplicationStatus plain = host.Status.Applications[0];
        await File.WriteAllTextAsync(ConfigFile, "[[applications]]\nname = \"numbers\"\nimport_path = \"other:code\"\n", Deadline);
        ServeException refusal = await Assert.ThrowsAsync<ServeException>(() => host.ReloadAsync(Deadline));

        Assert.Equal(("/n", 3), overridden);
        Assert.Equal("/", plain.RoutePrefix);
        Assert.Equal(1, plain.Deployments[1].TargetReplicas);
        Assert.Contains("is made by the code of the program", refusal.Errors[0], StringComparison.Ordinal);
        Assert.Equal(6, await host.GetHandle<int, int>("numbers", "Double").CallAsync(3, Deadline));
    }

    [Fact]
    public async Task ReloadOnChange_FileIsWritten_IsReadOnceItIsLeftAlone()
    {
        ManualTimeProvider time = new();
        await File.WriteAllTextAsync(ConfigFile, "# Nothing.\n", Deadline);
        await using ServeHost host = ServeHost.Create(serve =>
        {
            Doubling(serve);
            serve.ConfigFile = ConfigFile;
            serve.ReloadOnChange = true;
            serve.WaitUntilRunning = true;
            serve.Time = time;
        });
        await host.StartAsync(Deadline);

        await File.WriteAllTextAsync(ConfigFile, "[[applications]]\nname = \"numbers\"\n[[applications.deployments]]\nname = \"Double\"\nnum_replicas = 2\n", Deadline);
        while (host.Status.Applications[0].Deployments[1].RunningReplicas != 2)
        {
            Deadline.ThrowIfCancellationRequested();
            time.Advance(TimeSpan.FromMilliseconds(50));
            await Task.Yield();
        }

        Task stop = host.StopAsync(Deadline);
        while (!stop.IsCompleted)
        {
            time.Advance(TimeSpan.FromMilliseconds(50));
            await Task.Yield();
        }

        await stop;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task StopAsync_RequestsRun_TheyAreFinishedAndCallersEndBeforeThoseTheyCall(bool callerIsAddedFirst)
    {
        List<string> ended = [];
        TaskCompletionSource entered = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Action<ApplicationBuilder>[] adds =
        [
            app => app.Add<int, int>("Caller", context => new Caller(context.GetHandle<int, int>("Called"), ended)),
            app => app.Add<int, int>("Called", _ => new Called(entered, release.Task, ended)),
        ];
        await using ServeHost host = ServeHost.Create(serve => serve.AddApplication("app", app =>
        {
            app.Add<HttpRequest, string>("Front", _ => new Nothing());
            adds[callerIsAddedFirst ? 0 : 1](app);
            adds[callerIsAddedFirst ? 1 : 0](app);
        }));
        await host.StartAsync(Deadline);
        Task<int> call = host.GetHandle<int, int>("app", "Caller").CallAsync(20, Deadline).AsTask();
        await entered.Task.WaitAsync(Deadline);

        Task stop = host.StopAsync(Deadline);
        release.SetResult();
        await stop;

        Assert.Equal(22, await call);
        Assert.Equal(["caller", "called"], ended);
    }

    [Fact]
    public async Task StartAsync_Twice_IsRefused()
    {
        await using ServeHost host = ServeHost.Create(Doubling);
        await host.StartAsync(Deadline);

        await Assert.ThrowsAsync<InvalidOperationException>(() => host.StartAsync(Deadline));
    }

    [Fact]
    public async Task StartAsync_PortsAskedFor_ListensOnBoth()
    {
        await File.WriteAllTextAsync(ConfigFile, "[http_options]\nport = 0\n[admin_options]\nport = 0\n", Deadline);
        await using ServeHost host = ServeHost.Create(serve =>
        {
            Doubling(serve);
            serve.ConfigFile = ConfigFile;
            serve.ListenOnHttpPort = true;
            serve.ListenOnAdminPort = true;
        });
        await host.StartAsync(Deadline);
        using HttpClient client = new();

        Assert.Equal("front", await client.GetStringAsync(new Uri(host.Addresses[0]), Deadline));
        Assert.Equal("success", await client.GetStringAsync(new Uri(host.AdminAddresses[0] + "/-/healthz"), Deadline));
    }

    [Fact]
    public void AddApplication_PrefixOrNameTaken_IsRefused()
    {
        ServeOptions options = new();
        options.AddApplication("one", Numbers);

        Assert.Contains("'one' and 'two' have the same route prefix", Assert.Throws<ArgumentException>(() => options.AddApplication("two", Numbers)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => options.AddApplication("one", "/b", Numbers));
        Assert.Throws<ArgumentException>(() => options.AddApplication("a b", "/b", Numbers));
        Assert.Throws<ArgumentException>(() => options.AddApplication("three", "b", Numbers));
    }

    private static void Doubling(ServeOptions serve) => serve.AddApplication("numbers", Numbers);

    private static void Numbers(ApplicationBuilder app) => app.Add<HttpRequest, string>("Front", _ => new Nothing()).Add<int, int>("Double", _ => new Double());

    private sealed class Nothing : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new("front");
    }

    private sealed class Double : IDeployment<int, int>
    {
        public ValueTask<int> HandleAsync(int request, CancellationToken cancellationToken) => new(2 * request);
    }

    private sealed class Ends
    {
        private int _made;

        public int Made => Volatile.Read(ref _made);

        public List<(string Replica, string What)> Order { get; } = [];

        public void Make() => Interlocked.Increment(ref _made);

        public void Add(string replica, string what)
        {
            lock (Order)
            {
                Order.Add((replica, what));
            }
        }
    }

    private sealed class Belonging(DeploymentContext context, Ends ends) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            ends.Add(context.ReplicaId, "scope");
            return ValueTask.CompletedTask;
        }
    }

    private sealed class Scoped : IDeployment<int, int>, IDisposable
    {
        private readonly DeploymentContext _context;
        private readonly Ends _ends;

        public Scoped(DeploymentContext context, Ends ends, Belonging belonging, Belonging again)
        {
            Assert.Same(belonging, again);
            _context = context;
            _ends = ends;
            ends.Make();
        }

        public ValueTask<int> HandleAsync(int request, CancellationToken cancellationToken) => new(request);

        public void Dispose() => _ends.Add(_context.ReplicaId, "handler");
    }

    private sealed class Caller(DeploymentHandle<int, int> called, List<string> ended) : IDeployment<int, int>, IDisposable
    {
        public async ValueTask<int> HandleAsync(int request, CancellationToken cancellationToken) => 1 + await called.CallAsync(request, cancellationToken);

        public void Dispose() => ended.Add("caller");
    }

    private sealed class Called(TaskCompletionSource entered, Task release, List<string> ended) : IDeployment<int, int>, IDisposable
    {
        public async ValueTask<int> HandleAsync(int request, CancellationToken cancellationToken)
        {
            entered.SetResult();
            await release.WaitAsync(cancellationToken);
            return 1 + request;
        }

        public void Dispose() => ended.Add("called");
    }

    private sealed class AsksOne([FromKeyedServices("one/A")] DeploymentHandle<int, int> other) : IDeployment<int, int>
    {
        public ValueTask<int> HandleAsync(int request, CancellationToken cancellationToken) => other.CallAsync(request, cancellationToken);
    }

    private sealed class AsksTwo([FromKeyedServices("two/A")] DeploymentHandle<int, int> other) : IDeployment<int, int>
    {
        public ValueTask<int> HandleAsync(int request, CancellationToken cancellationToken) => other.CallAsync(request, cancellationToken);
    }

    private sealed class AsksB([FromKeyedServices("B")] DeploymentHandle<int, int> other) : IDeployment<int, int>
    {
        public ValueTask<int> HandleAsync(int request, CancellationToken cancellationToken) => other.CallAsync(request, cancellationToken);
    }
}
