using System.Diagnostics;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Debian's chromium without a window, with one page, driven over its DevTools protocol.</summary>
internal sealed class Browser : IAsyncDisposable
{
    private const string Program = "chromium";

    private readonly Process _process;
    private readonly TempFolder _profile;
    private readonly ProcessLines _lines;
    private readonly ClientWebSocket _page = new();
    private readonly CancellationTokenSource _deadline = ServeBinary.NewDeadline();
    private int _id;

    private Browser(Process process, TempFolder profile)
    {
        _process = process;
        _profile = profile;
        _lines = new(process.StandardError, process.StandardOutput);
    }

    /// <summary>Skips the test where there is no chromium.</summary>
    public static Task SkipWithoutAsync() => Programs.SkipWithoutAsync(Program, "--version");

    public static async Task<Browser> OpenAsync(Uri address)
    {
        TempFolder profile = new();
        ProcessStartInfo start = new(Program)
        {
            // Whoever runs the tests may be root, and a container may have a small /dev/shm.
            ArgumentList =
            {
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--no-proxy-server",
                "--remote-debugging-port=0", $"--user-data-dir={profile.Path}", "about:blank",
            },
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        Browser browser = new(Process.Start(start)!, profile);
        try
        {
            await browser.ConnectAsync();
            await browser.CallAsync("Page.enable", []);
            await browser.CallAsync("Page.navigate", new() { ["url"] = address.ToString() });
            return browser;
        }
        catch
        {
            await browser.DisposeAsync();
            throw;
        }
    }

    /// <summary>Waits in the page until an expression is true of it.</summary>
    public async Task UntilAsync(string expression)
    {
        try
        {
            // A navigation takes the page away from whoever waits in it, and he waits again in the next.
            while (!await IsAsync($"new Promise(done => {{ const look = () => {{ if ({expression}) done(true); else setTimeout(look, 20); }}; look(); }})"))
            {
                _deadline.Token.ThrowIfCancellationRequested();
            }
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"It never was so that: {expression}");
        }
    }

    /// <summary>What the page shows, as somebody reads it.</summary>
    public Task<string> TextAsync() => EvaluateAsync("document.body.innerText");

    /// <summary>An expression's value, as a string.</summary>
    public async Task<string> EvaluateAsync(string expression) => (await RunAsync($"String({expression})"))["result"]!["value"]!.GetValue<string>();

    public async ValueTask DisposeAsync()
    {
        _page.Dispose();
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync(CancellationToken.None);
        }

        await _lines.Ended;
        _process.Dispose();
        _deadline.Dispose();
        try
        {
            _profile.Dispose();
        }
        catch (IOException)
        {
            // A process of its that ends last still writes there.
        }
    }

    private async Task<bool> IsAsync(string expression) => (await RunAsync(expression))["result"]?["value"] is JsonValue value && value.TryGetValue(out bool isSo) && isSo;

    private Task<JsonNode> RunAsync(string expression) =>
        CallAsync("Runtime.evaluate", new() { ["expression"] = expression, ["awaitPromise"] = true, ["returnByValue"] = true });

    private async Task ConnectAsync()
    {
        const string Listening = "DevTools listening on ";
        string line = await _lines.LineAsync(Listening, from: 0, _deadline.Token);
        Uri browser = new(line[(line.IndexOf(Listening, StringComparison.Ordinal) + Listening.Length)..]);
        using HttpClient client = new(new SocketsHttpHandler { UseProxy = false });
        JsonArray targets = JsonNode.Parse(await client.GetStringAsync($"http://{browser.Authority}/json/list", _deadline.Token))!.AsArray();
        string page = targets.First(t => t!["type"]!.GetValue<string>() == "page")!["webSocketDebuggerUrl"]!.GetValue<string>();
        await _page.ConnectAsync(new(page), _deadline.Token);
    }

    /// <summary>One call, and its result; what the page tells meanwhile is not asked for.</summary>
    private async Task<JsonNode> CallAsync(string method, JsonObject parameters)
    {
        int id = ++_id;
        byte[] call = Encoding.UTF8.GetBytes(new JsonObject { ["id"] = id, ["method"] = method, ["params"] = parameters }.ToJsonString());
        await _page.SendAsync(call, WebSocketMessageType.Text, endOfMessage: true, _deadline.Token);
        while (true)
        {
            JsonNode message = await ReceiveAsync();
            if (message["id"]?.GetValue<int>() == id)
            {
                return message["result"] ?? message;
            }
        }
    }

    private async Task<JsonNode> ReceiveAsync()
    {
        using MemoryStream message = new();
        byte[] buffer = new byte[16 * 1024];
        ValueWebSocketReceiveResult received;
        do
        {
            received = await _page.ReceiveAsync(buffer.AsMemory(), _deadline.Token);
            message.Write(buffer, 0, received.Count);
        }
        while (!received.EndOfMessage);
        return JsonNode.Parse(message.ToArray())!;
    }
}
