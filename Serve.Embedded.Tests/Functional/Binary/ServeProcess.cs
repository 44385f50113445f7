using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>A running <c>serve run</c> with a configuration file of its own. What it logs is what tests wait for.</summary>
internal sealed partial class ServeProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly CancellationTokenSource _deadline = ServeBinary.NewDeadline();
    private readonly ProcessLines _lines;

    private ServeProcess(Process process, TempFolder folder, string configPath)
    {
        _process = process;
        Folder = folder;
        ConfigPath = configPath;
        _lines = new(process.StandardError);
    }

    public TempFolder Folder { get; }

    public string ConfigPath { get; }

    public int Id => _process.Id;

    public Uri Address { get; private set; } = null!;

    public Uri AdminAddress { get; private set; } = null!;

    public HttpClient Client { get; private set; } = null!;

    public CancellationToken Deadline => _deadline.Token;

    public IReadOnlyList<string> Lines => _lines.All;

    public int LineCount => Lines.Count;

    /// <summary>Starts a server on free ports and waits until it says that it is ready.</summary>
    public static async Task<ServeProcess> StartAsync(string config, string? shell = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        ServeProcess server = Launch(config, shell, environment);
        try
        {
            await server.ReadyAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts it, on free ports unless it is told which, and does not wait.</summary>
    public static ServeProcess Launch(string config, string? shell = null, IReadOnlyDictionary<string, string>? environment = null, params string[] ports)
    {
        TempFolder folder = new();
        string path = folder.Write("config.toml", config);
        Process process = ServeBinary.Start(new()
        {
            Arguments = ["run", path, .. ports.Length > 0 ? ports : ["--port", "0", "--admin-port", "0"]],
            Directory = folder.Path,
            Shell = shell,
            Environment = new Dictionary<string, string>(StateBelow(folder.Path).Concat(environment ?? new Dictionary<string, string>())),
        });
        return new(process, folder, path);
    }

    /// <summary>One that the caller has started, with a file that outlives it.</summary>
    public static ServeProcess Follow(Process process, string configPath) => new(process, new(), configPath);

    /// <summary>Keeps the state of a server out of the folder of whoever runs the tests.</summary>
    public static Dictionary<string, string> StateBelow(string folder) => new() { ["XDG_STATE_HOME"] = Path.Combine(folder, "state"), ["STATE_DIRECTORY"] = "" };

    public Task ReadyAsync() => AddressesAsync("Ready: serving on ");

    /// <summary>It takes requests, whether its applications are up or not.</summary>
    public Task ListensAsync() => AddressesAsync("Listening on ");

    public HttpClient NewClient() => new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { BaseAddress = Address, Timeout = ServeBinary.Patience };

    public async Task<RawConnection> ConnectAsync(Encoding? encoding = null)
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(Address.Host, Address.Port, Deadline);
        return new(socket) { Encoding = encoding ?? Encoding.UTF8 };
    }

    /// <summary>The first line, from line number <paramref name="from"/> on, that contains the text, once it is written.</summary>
    public Task<string> LineAsync(string text, int from = 0) => _lines.LineAsync(text, from, Deadline);

    public void Signal(int signal) => ServeBinary.Kill(_process.Id, signal);

    /// <summary>Writes the configuration, sends SIGHUP, and returns what was logged until the reload had ended.</summary>
    public async Task<IReadOnlyList<string>> ReloadAsync(string config)
    {
        int from = LineCount;
        await File.WriteAllTextAsync(ConfigPath, config, Deadline);
        Signal(ServeBinary.Hangup);
        string end = await LineAsync("Reload", from);
        List<string> lines = [.. Lines.Skip(from)];
        return lines[..(lines.IndexOf(end) + 1)];
    }

    /// <summary>Waits for the end and for the whole log. Returns the exit code.</summary>
    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync(Deadline);
        await _lines.Ended.WaitAsync(Deadline);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        Client?.Dispose();
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync(CancellationToken.None);
        }

        await _lines.Ended;
        _process.Dispose();
        _deadline.Dispose();
        Folder.Dispose();
    }

    private async Task AddressesAsync(string text)
    {
        string line = await LineAsync(text);
        Match match = Ready().Match(line);
        Address = new(match.Groups[1].Value);
        AdminAddress = new(match.Groups[2].Value);
        Client = NewClient();
    }

    [GeneratedRegex(@"(?:serving|Listening) on (http://[^\s,""]+).*?admin on (http://[^\s,""]+)")]
    private static partial Regex Ready();
}

/// <summary>A folder that is gone when the test is.</summary>
internal sealed class TempFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("serve-test-").FullName;

    public string Write(string name, string text)
    {
        string path = System.IO.Path.Combine(Path, name);
        File.WriteAllText(path, text);
        return path;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
