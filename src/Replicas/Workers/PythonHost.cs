namespace Serve.Embedded.Replicas.Workers;

/// <summary>The file of Python that runs a user's class. It is in the executable, and is written out when it is first needed.</summary>
internal sealed class PythonHost(WorkerSockets sockets)
{
    public const string FileName = "serve_embedded.py";
    public const string FileMark = "{serve_host}";
    public const string HealthPath = "/-/worker/health";

    /// <summary>Of <see cref="HealthPath"/>: how many seconds after the end of its request a handler that still runs is called stuck.</summary>
    public const string TimeoutParameter = "timeout_s";

    public const string ReconfigurePath = "/-/worker/reconfigure";
    public const string LimitsPath = "/-/worker/limits";

    /// <summary>The header that shows <see cref="WorkerHost.ControlToken"/>.</summary>
    public const string TokenHeader = "x-serve-control";

    private readonly Lock _gate = new();
    private string? _path;

    /// <summary>Where it is.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public string Path
    {
        get
        {
            lock (_gate)
            {
                return _path ??= Write();
            }
        }
    }

    private string Write()
    {
        string path = System.IO.Path.Combine(sockets.Folder, FileName);
        using Stream source = typeof(PythonHost).Assembly.GetManifestResourceStream(FileName)
            ?? throw new InvalidOperationException($"{FileName} is not in the executable.");
        using FileStream target = File.Create(path);
        source.CopyTo(target);
        return path;
    }
}
