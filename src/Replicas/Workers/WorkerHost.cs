using Microsoft.Extensions.Logging;
using Serve.Embedded.Deployments;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What all workers of a server share: who watches over them, where their sockets are, and the host of Python.</summary>
internal sealed class WorkerHost : IAsyncDisposable
{
    private readonly WorkerGroups _groups = WorkerGroups.OfThisProcess();
    private readonly bool _onEventThreads;

    public WorkerHost(ServeEnvironment environment, Func<string, string?> variables)
    {
        ILogger logger = environment.Loggers.CreateLogger(LogCategories.Replica);
        Time = environment.Time;
        Random = environment.Random;
        _onEventThreads = environment.OnEventThreads;
        Guard = new(Time, logger, _groups);
        Sockets = new(variables);
        PythonHost = new(Sockets);
        Importer = new(this);
    }

    public TimeProvider Time { get; }

    public Random Random { get; }

    /// <summary>Where what waits for a worker goes on.</summary>
    public EventLoops Loops => EventLoops.For(_onEventThreads);

    public WorkerGuard Guard { get; }

    public WorkerSockets Sockets { get; }

    public WorkerPorts Ports { get; } = new();

    public PythonHost PythonHost { get; }

    public PythonImporter Importer { get; }

    /// <summary>What the server shows when it asks a host of Python something that no client may: 122 bits that the kernel has drawn.</summary>
    public string ControlToken { get; } = Guid.NewGuid().ToString("N");

    public async ValueTask DisposeAsync()
    {
        await Guard.DisposeAsync();
        _groups.Dispose();
        Sockets.Dispose();
    }
}
