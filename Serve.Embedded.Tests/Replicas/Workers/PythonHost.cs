using System.ComponentModel;
using System.Diagnostics;
using System.Net.Sockets;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Binary;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Replicas.Workers;

/// <summary>The worker that runs a Python class, started as the server starts it. Without Python, its tests are skipped.</summary>
internal sealed class PythonHost : IAsyncDisposable
{
    public const string Token = "not-for-clients";

    private static readonly string Program = Path.Combine(Repository.Root, "src/Replicas/Workers/Python/serve_embedded.py");

    private static readonly Lazy<Task<string?>> Python = new(FindAsync);

    private readonly Process _process;
    private readonly TempFolder _folder;
    private readonly CancellationTokenSource _deadline = ServeBinary.NewDeadline();
    private readonly ProcessLines _lines;

    private PythonHost(Process process, TempFolder folder)
    {
        _process = process;
        _folder = folder;
        _lines = new(process.StandardOutput, process.StandardError);
        Client = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, ConnectCallback = async (_, _) => new NetworkStream(await ConnectSocketAsync(), ownsSocket: true) })
        {
            BaseAddress = new("http://worker"),
            Timeout = ServeBinary.Patience,
        };
    }

    public HttpClient Client { get; }

    public CancellationToken Deadline => _deadline.Token;

    /// <summary>What it wrote to standard output and standard error so far.</summary>
    public string Output => string.Join('\n', _lines.All);

    private string SocketPath => Path.Combine(_folder.Path, "socket");

    /// <summary>A replica of <c>m.Model</c> that listens.</summary>
    public static async Task<PythonHost> StartAsync(string module, params (string Name, string Value)[] environment)
    {
        string python = await PythonOrSkipAsync();
        TempFolder folder = new();
        folder.Write("m.py", module + "\nprint('imported')\n");
        PythonHost host = new(Start(python, folder, ["run", "m.Model"], environment), folder);
        try
        {
            await host.LineAsync("imported");
            (await host.ConnectSocketAsync()).Dispose();
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs it until it ends by itself.</summary>
    public static async Task<Finished> RunAsync(string module, string[] arguments, (string Name, string Value)[]? environment = null, string file = "m.py")
    {
        string python = await PythonOrSkipAsync();
        using TempFolder folder = new();
        folder.Write(file, module);
        return await ServeBinary.RunToEndAsync(Start(python, folder, arguments, environment ?? []));
    }

    public async Task<RawConnection> ConnectAsync() => new(await ConnectSocketAsync());

    public Task<string> GetAsync(string path) => Client.GetStringAsync(path, Deadline);

    public async Task<string> PostAsync(string path, string body)
    {
        using HttpResponseMessage response = await Client.PostAsync(path, new StringContent(body), Deadline);
        return await response.Content.ReadAsStringAsync(Deadline);
    }

    /// <summary>As the server asks, with its token, or as somebody else does.</summary>
    public async Task<(int Status, string Body)> ControlAsync(HttpMethod method, string action, string? body = null, string? token = Token)
    {
        using HttpRequestMessage request = new(method, "/-/worker/" + action) { Content = body is null ? null : new StringContent(body) };
        if (token is not null)
        {
            request.Headers.Add("x-serve-control", token);
        }

        using HttpResponseMessage response = await Client.SendAsync(request, Deadline);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync(Deadline));
    }

    /// <summary>The first line of its output that contains the text, once it is written.</summary>
    public Task<string> LineAsync(string text) => _lines.LineAsync(text, from: 0, Deadline);

    public void Signal(int signal) => ServeBinary.Kill(_process.Id, signal);

    /// <summary>Waits for the end of its first process; what that has started may write on.</summary>
    public Task EndAsync() => _process.WaitForExitAsync(Deadline);

    /// <summary>Waits for the end and for all that it wrote. Returns the exit code.</summary>
    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync(Deadline);
        await _lines.Ended.WaitAsync(Deadline);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync(CancellationToken.None);
        }

        await _lines.Ended;
        _process.Dispose();
        _deadline.Dispose();
        _folder.Dispose();
    }

    /// <summary>The interpreter.</summary>
    public static async Task<string> PythonOrSkipAsync()
    {
        string? python = await Python.Value;
        Assert.SkipWhen(python is null, "There is no python3 here, or it is older than 3.9.");
        return python!;
    }

    /// <summary>The interpreter itself: what is called python3 may be a script that looks for one each time.</summary>
    private static async Task<string?> FindAsync()
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo("python3", ["-c", "import sys; print(sys.executable if sys.version_info >= (3, 9) else '')"]) { RedirectStandardOutput = true })!;
            string path = (await process.StandardOutput.ReadToEndAsync(CancellationToken.None)).Trim();
            await process.WaitForExitAsync(CancellationToken.None);
            return process.ExitCode == 0 && path.Length > 0 ? path : null;
        }
        catch (Win32Exception)
        {
            return null;
        }
    }

    private static Process Start(string python, TempFolder folder, string[] arguments, (string Name, string Value)[] environment)
    {
        ProcessStartInfo start = new(python, [Program, .. arguments]) { WorkingDirectory = folder.Path, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["PYTHONDONTWRITEBYTECODE"] = "1";
        start.Environment["SERVE_SOCKET"] = Path.Combine(folder.Path, "socket");
        start.Environment["SERVE_CONTROL_TOKEN"] = Token;
        start.Environment["SERVE_APPLICATION"] = "app";
        start.Environment["SERVE_DEPLOYMENT"] = "Model";
        start.Environment["SERVE_REPLICA_ID"] = "Model#abc";
        start.Environment["SERVE_REPLICA_RANK"] = "3";
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    /// <summary>Between the last line that it writes at its start and the moment in which it listens there is nothing to wait for.</summary>
    private async Task<Socket> ConnectSocketAsync()
    {
        while (true)
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(SocketPath), Deadline);
                return socket;
            }
            catch (SocketException) when (!_process.HasExited)
            {
                socket.Dispose();
                await Task.Yield();
            }
            catch (SocketException error)
            {
                socket.Dispose();
                throw new InvalidOperationException($"The worker ended. It wrote:\n{Output}", error);
            }
        }
    }
}
