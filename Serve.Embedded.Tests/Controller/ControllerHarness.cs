using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Controller;

/// <summary>The real controller on one thread, with a clock and acts that the test owns. Applications <c>test:v1</c> to <c>test:v3</c> have a front and a back.</summary>
internal sealed class ControllerHarness
{
    /// <summary>Its front is a process.</summary>
    public const string Workers = "test:workers";

    private readonly Serve.Embedded.Controller.Controller _controller;

    public ControllerHarness(ulong seed = 1, ServeTelemetry? telemetry = null)
    {
        Logs = FakeLogCollector.Create(new());
        ServeEnvironment environment = new(Clock, new SeededRandom(seed), static item => item.Execute(), new LoggerFactory([new FakeLoggerProvider(Logs)])) { Telemetry = telemetry ?? ServeTelemetry.Silent };
        DeploymentRegistry registry = new();
        foreach (string version in (string[])["v1", "v2", "v3"])
        {
            registry.AddApplication($"test:{version}", app => app
                .Add<HttpRequest, string>("Front", _ => new Handler<HttpRequest>())
                .Add<string, string>("Back", _ => new Handler<string>()));
        }

        registry.AddApplication("test:other", app => app
            .Add<HttpRequest, string>("Front", _ => new Handler<HttpRequest>())
            .Add<int, string>("Back", _ => new Handler<int>()));
        registry.AddApplication("test:guess", app => app.Add<HttpRequest, string>("Guess", _ => new Handler<HttpRequest>()));
        registry.AddApplication("test:solo", app => app.Add<HttpRequest, string>("Front", _ => new Handler<HttpRequest>()));
        registry.AddApplication(Workers, app => app
            .Add<HttpRequest, string>("Front", _ => new FakeProcess())
            .Add<string, string>("Back", _ => new Handler<string>()));
        FakeActs? acts = null;
        _controller = new(registry, Serving, environment, tell => acts = new(tell));
        Acts = acts!;
    }

    public ManualTimeProvider Clock { get; } = new();

    public ServingState Serving { get; } = new();

    public FakeActs Acts { get; }

    public FakeLogCollector Logs { get; }

    public ControllerStatus Status => _controller.Status;

    /// <summary>How each act ends, while <see cref="Run"/> ends them; <see langword="null"/> = well.</summary>
    public Func<Act, string?> Fails { get; set; } = _ => null;

    public static ApplicationGoal App(string name = "app", string importPath = "test:v1", params DeploymentGoal[] deployments) => new()
    {
        Name = name,
        RoutePrefix = $"/{name}",
        RequestTimeout = null,
        StreamTimeout = null,
        Code = new(importPath, null),
        Deployments = new EquatableList<DeploymentGoal>(deployments.Length == 0 ? [Front(), Back()] : deployments),
    };

    public static DeploymentGoal Front(int replicas = 1) => new() { Name = "Front", NumReplicas = replicas, MaxOngoingRequests = 5, MaxQueuedRequests = 100 };

    public static DeploymentGoal Back(int replicas = 1) => Front(replicas) with { Name = "Back" };

    public Task<ApplyOutcome> Apply(params ApplicationGoal[] goals) => Apply(new ApplyRequest(goals));

    public Task<ApplyOutcome> Apply(ApplyRequest request)
    {
        Task<ApplyOutcome> applied = _controller.ApplyAsync(request);
        Step();
        return applied;
    }

    /// <summary>Applications of a goal have been built, or cannot be.</summary>
    public void Complete(ApplyRequest request, params ApplicationGoal[] built)
    {
        _controller.Complete(request, built);
        Step();
    }

    public Task Shutdown()
    {
        Task done = _controller.ShutdownAsync();
        Step();
        return done;
    }

    public bool Step() => _controller.Step();

    /// <summary>Lets time pass and the controller see it.</summary>
    public void Advance(TimeSpan by)
    {
        Clock.Advance(by);
        Step();
    }

    /// <summary>Ends acts, in their order, until the controller asks for nothing more; time passes only where starts must wait.</summary>
    public void Run(TimeSpan? atMost = null, Action? eachStep = null)
    {
        TimeSpan left = atMost ?? TimeSpan.FromSeconds(5);
        while (true)
        {
            while (Acts.Pending.Where(a => a.Kind != ActKind.CheckHealth).FirstOrDefault() is { } act)
            {
                Acts.End(act, Fails(act));
                Step();
                eachStep?.Invoke();
            }

            if (left <= TimeSpan.Zero)
            {
                return;
            }

            Advance(TimeSpan.FromMilliseconds(50));
            left -= TimeSpan.FromMilliseconds(50);
        }
    }

    public DeploymentReport Deployment(string name, string application = "app") =>
        Status.Applications.Single(a => a.Name == application).Deployments.Single(d => d.Goal.Name == name);

    public ApplicationReport Application(string name = "app") => Status.Applications.Single(a => a.Name == name);

    /// <summary>Running replicas by the code that they are made from.</summary>
    public int Running(string deployment, string importPath, string application = "app") =>
        Deployment(deployment, application).Replicas.Count(r => r.State.TakesRequests() && Acts.ImportPathOf(r) == importPath);

    private sealed class Handler<T> : IDeployment<T, string>, IReconfigurable, IHealthChecked
    {
        public ValueTask<string> HandleAsync(T request, CancellationToken cancellationToken) => new("ok");

        public ValueTask ReconfigureAsync(JsonElement userConfig, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public ValueTask CheckHealthAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;
    }
}
