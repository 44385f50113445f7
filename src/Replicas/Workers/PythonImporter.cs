using System.Text.Json;
using Serve.Embedded.Config;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What to import, and with what.</summary>
/// <param name="Name">FILE.CLASS, or FILE:NAME.</param>
/// <param name="Python">The interpreter.</param>
/// <param name="WorkingDirectory">Where the file is.</param>
/// <param name="Variables">Of the environment.</param>
/// <param name="ClearsEnvironment">The server's own is not handed on.</param>
internal sealed record PythonSource(string Name, string Python, string WorkingDirectory, EquatableList<EnvironmentVariable> Variables, bool ClearsEnvironment)
{
    /// <summary>What a deployment is called whose file cannot be imported.</summary>
    public string LastName => Name[(Name.LastIndexOfAny(['.', ':']) + 1)..];

    /// <summary>Where its file is looked for first, without the ending: a package is a folder there.</summary>
    public string ModulePath => Path.Combine(WorkingDirectory, Name[..Name.LastIndexOfAny(['.', ':'])].Replace('.', Path.DirectorySeparatorChar));
}

/// <summary>What a file of Python declares.</summary>
/// <param name="Deployment">Its options, as its decorator sets them.</param>
/// <param name="TakesUserConfig">It has a reconfigure.</param>
/// <param name="Fingerprint">Of the file; <see langword="null"/> = it was not found where it is looked for first.</param>
/// <param name="Error">Why it cannot be imported; <see langword="null"/> = it can.</param>
internal sealed record PythonCode(DeploymentConfig Deployment, bool TakesUserConfig, string? Fingerprint, string? Error)
{
    public IReadOnlyList<string> Warnings { get; init; } = [];
}

/// <summary>Imports files of Python, each in a process of its own and with a time limit, to learn what they declare.</summary>
internal sealed class PythonImporter(WorkerHost host)
{
    private const int MostAtOnce = 4;

    private static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(60);

    private readonly Lock _gate = new();
    private readonly Dictionary<PythonSource, Task<PythonCode>> _again = [];

    /// <summary>Told what could not be imported before, and can be now.</summary>
    public Action<PythonSource, PythonCode>? OnMended { get; set; }

    /// <param name="sources">What to import; each is imported once.</param>
    /// <param name="each">Told of each as soon as it is known.</param>
    public async Task<IReadOnlyDictionary<PythonSource, PythonCode>> ReadAsync(IReadOnlyCollection<PythonSource> sources, Action<PythonSource, PythonCode>? each = null)
    {
        Dictionary<PythonSource, PythonCode> read = [];
        if (sources.Count > 0)
        {
            await Parallel.ForEachAsync(sources.Distinct(), new ParallelOptions { MaxDegreeOfParallelism = MostAtOnce }, async (source, _) =>
            {
                PythonCode code = await ReadAsync(source);
                lock (read)
                {
                    read[source] = code;
                }

                each?.Invoke(source, code);
            });
        }

        return read;
    }

    /// <summary>Imports once more what could not be imported: once for all who ask meanwhile.</summary>
    public Task<PythonCode> AgainAsync(PythonSource source)
    {
        lock (_gate)
        {
            if (!_again.TryGetValue(source, out Task<PythonCode>? running))
            {
                _again[source] = running = Task.Run(() => AgainInTurnAsync(source));
            }

            return running;
        }
    }

    private async Task<PythonCode> AgainInTurnAsync(PythonSource source)
    {
        PythonCode code = await ReadAsync(source);
        lock (_gate)
        {
            _again.Remove(source);
        }

        if (code.Error is null)
        {
            OnMended?.Invoke(source, code);
        }

        return code;
    }

    private async Task<PythonCode> ReadAsync(PythonSource source)
    {
        string? document = null;
        try
        {
            document = Path.Combine(host.Sockets.Folder, $"import-{Guid.NewGuid():N}");
            ReplicaLog log = new();
            WorkerSettings settings = new()
            {
                Command = [source.Python, host.PythonHost.Path, "import", source.Name, "--out", document],
                WorkingDirectory = source.WorkingDirectory,
                Variables = source.Variables,
                ClearsEnvironment = source.ClearsEnvironment,
            };
            WorkerProcess process = WorkerProcess.Start(WorkerSurroundings.OfImport(settings), host.Guard, line => log.Add(line.Text));
            using CancellationTokenSource enough = new();
            Task ended = await Task.WhenAny(process.Exited, Task.Delay(TimeLimit, host.Time, enough.Token));
            await enough.CancelAsync();
            if (ended != process.Exited)
            {
                await process.StopAsync(TimeSpan.Zero);
                return Failed(source, $"importing {source.Name} did not end within {TimeLimit.TotalSeconds} s{Said(log)}");
            }

            return File.Exists(document)
                ? Parse(source, await File.ReadAllBytesAsync(document))
                : Failed(source, $"importing {source.Name} ended with {await process.Exited}{Said(log)}{TooOld(source, log)}");
        }
        catch (Exception exception) when (exception is WorkerStartException or PlatformNotSupportedException or IOException or UnauthorizedAccessException or JsonException)
        {
            return Failed(source, exception.Message);
        }
        finally
        {
            if (document is not null)
            {
                File.Delete(document);
            }
        }
    }

    private static PythonCode Parse(PythonSource source, byte[] utf8)
    {
        using JsonDocument document = JsonDocument.Parse(utf8);
        JsonElement root = document.RootElement;
        if (root.TryGetProperty("error", out JsonElement error))
        {
            string traceback = root.GetProperty("traceback").GetString()!;
            return Failed(source, traceback.Length == 0 ? error.GetString()! : $"{error.GetString()}\n{traceback.TrimEnd()}");
        }

        JsonElement declared = root.GetProperty("deployments")[0];
        string name = declared.GetProperty("name").GetString()!;
        ConfigErrors errors = new($"{source.Name}");
        DeploymentConfig? deployment = DeploymentKeys.ReadDeclared(name, declared.GetProperty("options").GetRawText(), errors);
        return errors.ToList() is { Count: > 0 } wrong
            ? Failed(source, $"the options of {source.Name} are wrong: {Sentences.Join(wrong.Select(e => e.Message))}")
            : new(deployment!, declared.GetProperty("has_reconfigure").GetBoolean(), Fingerprint(source), Error: null)
            {
                Warnings = [.. root.TryGetProperty("warnings", out JsonElement warnings) ? warnings.EnumerateArray().Select(w => w.GetString()!) : []],
            };
    }

    private static PythonCode Failed(PythonSource source, string why) =>
        new(new() { Name = source.LastName }, TakesUserConfig: false, Fingerprint(source), $"Importing {source.Name} from {source.WorkingDirectory} failed: {why}");

    /// <summary>So that a file that has changed is deployed anew although its name is the same.</summary>
    private static string? Fingerprint(PythonSource source)
    {
        try
        {
            return Checksum.WithLengthOf(File.ReadAllBytes($"{source.ModulePath}.py"));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }

    /// <summary>Whatever the user's code does is in the document; where the host itself stumbles, the interpreter does not know its language.</summary>
    private static string TooOld(PythonSource source, ReplicaLog log) => log.Tail.Any(l => l.Contains(PythonHost.FileName, StringComparison.Ordinal))
        ? $" | The interpreter '{source.Python}' seems to be older than Python 3.9: name another one with the key python."
        : "";

    private static string Said(ReplicaLog log) => log.Tail is { Count: > 0 } tail ? $". Its last lines: {string.Join(" | ", tail)}" : ".";
}
