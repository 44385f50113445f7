using System.Security.Cryptography;
using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What all workers of a server share: who watches over them, where their sockets are, and the host of Python.</summary>
internal sealed class WorkerHost : IAsyncDisposable
{
    private readonly WorkerGroups _groups = WorkerGroups.OfThisProcess();
    private readonly Lazy<string> _controlToken = new(() => Convert.ToHexString(RandomNumberGenerator.GetBytes(16)));

    public WorkerHost(TimeProvider time, Random random, ILogger logger, Func<string, string?> environment)
    {
        Time = time;
        Random = random;
        Guard = new(time, logger, _groups);
        Sockets = new(environment);
        PythonHost = new(Sockets);
        Importer = new(this);
    }

    public TimeProvider Time { get; }

    public Random Random { get; }

    public WorkerGuard Guard { get; }

    public WorkerSockets Sockets { get; }

    public PythonHost PythonHost { get; }

    public PythonImporter Importer { get; }

    /// <summary>What the server shows when it asks a host of Python something that no client may.</summary>
    public string ControlToken => _controlToken.Value;

    public async ValueTask DisposeAsync()
    {
        await Guard.DisposeAsync();
        _groups.Dispose();
        Sockets.Dispose();
    }
}
