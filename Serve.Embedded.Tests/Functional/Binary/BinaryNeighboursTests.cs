using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>What stands before the server in practice: reverse proxies, and a client library that retries.</summary>
public sealed class BinaryNeighboursTests
{
    /// <summary>The client that Ray Serve's documentation recommends, word for word: three at once where there is room for one.</summary>
    [Fact]
    public async Task PythonRequests_WithTheRecipeOfRayServe_IsAnswered()
    {
        await using ServeProcess server = await StartForPythonAsync();

        string output = await PythonAsync(
            server,
            """
            bodies = []
            def ask():
                response = session().get(sys.argv[1], timeout=30)
                bodies.append((response.status_code, response.text))
            threads = [threading.Thread(target=ask) for _ in range(3)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            print(bodies)
            """);

        Assert.Equal("[(200, 'Hello!'), (200, 'Hello!'), (200, 'Hello!')]", output);
        Assert.Contains(server.Lines, l => l.Contains(" 503 ", StringComparison.Ordinal));
    }

    /// <summary>The recipe does not repeat a POST: its refusal is the answer, with the words that say it was not run. Allowed to, it is answered.</summary>
    [Fact]
    public async Task PythonRequests_Post_IsRepeatedOnlyWhereAllowed()
    {
        await using ServeProcess server = await StartForPythonAsync();

        string output = await PythonAsync(
            server,
            """
            enough = threading.Event()
            def occupy():
                while not enough.is_set():
                    requests.get(sys.argv[1])
            thread = threading.Thread(target=occupy)
            thread.start()
            while (refused := session().post(sys.argv[1], data="a", timeout=30)).status_code == 200:
                pass
            enough.set()
            print(refused.status_code, refused.headers["X-Request-Not-Run"], int(refused.headers["Retry-After"]) >= 1)
            print(session(allowed_methods=None).post(sys.argv[1], data="a", timeout=30).text)
            thread.join()
            """);

        Assert.Equal("503 ?1 True\nHello!", output);
    }

    [Fact]
    public async Task BehindHaproxy_PlainKeepAliveUploadAndRefusal_ComeThrough()
    {
        await Programs.SkipWithoutAsync("haproxy", "-v");
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 0.5, ongoing: 1, queued: 0) + Toml.EchoApplication());
        int port = FreePort();
        string file = server.Folder.Write(
            "haproxy.cfg",
            $"""
            defaults
              mode http
              timeout connect 5s
              timeout client 30s
              timeout server 30s
            listen front
              bind 127.0.0.1:{port}
              option httpchk GET /-/readyz
              server serve 127.0.0.1:{server.Address.Port} check inter 200

            """);

        await BehindAsync(server, port, "haproxy", "-db", "-f", file);
    }

    [Fact]
    public async Task BehindNginx_PlainKeepAliveUploadAndRefusal_ComeThrough()
    {
        await Programs.SkipWithoutAsync("nginx", "-v");
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 0.5, ongoing: 1, queued: 0) + Toml.EchoApplication());
        int port = FreePort();
        string folder = server.Folder.Path;
        string file = server.Folder.Write(
            "nginx.conf",
            $$"""
            daemon off;
            master_process off;
            pid {{folder}}/nginx.pid;
            error_log stderr;
            events { worker_connections 256; }
            http {
              access_log off;
              client_body_temp_path {{folder}}/body;
              proxy_temp_path {{folder}}/proxy;
              fastcgi_temp_path {{folder}}/fastcgi;
              uwsgi_temp_path {{folder}}/uwsgi;
              scgi_temp_path {{folder}}/scgi;
              client_max_body_size 10m;
              upstream serve { server 127.0.0.1:{{server.Address.Port}}; keepalive 8; }
              server {
                listen 127.0.0.1:{{port}};
                location / {
                  proxy_pass http://serve;
                  proxy_http_version 1.1;
                  proxy_set_header Connection "";
                  proxy_request_buffering off;
                  proxy_buffering off;
                }
              }
            }

            """);

        await BehindAsync(server, port, "nginx", "-c", file, "-e", "stderr", "-p", folder);
    }

    private static async Task<ServeProcess> StartForPythonAsync()
    {
        await Programs.SkipWithoutAsync("python3", "-c", "import requests");
        return await ServeProcess.StartAsync(Toml.Slow(delay: 0.5, ongoing: 1, queued: 0));
    }

    private static async Task<string> PythonAsync(ServeProcess server, string script)
    {
        const string Recipe =
            """
            import sys, threading, requests
            from requests.adapters import HTTPAdapter
            from urllib3.util.retry import Retry
            def session(**more):
                session = requests.Session()
                retries = Retry(total=5, backoff_factor=1, status_forcelist=[500, 501, 502, 503, 504], **more)
                session.mount("http://", HTTPAdapter(max_retries=retries))
                return session

            """;
        (int exitCode, string output) = await RunAsync(server, "python3", "-c", Recipe + script, server.Address.ToString());
        Assert.Equal(0, exitCode);
        return output.Trim();
    }

    private static async Task BehindAsync(ServeProcess server, int port, string program, params string[] arguments)
    {
        using Process proxy = Start(program, arguments);
        try
        {
            using HttpClient client = new(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new($"http://127.0.0.1:{port}"), Timeout = ServeBinary.Patience };
            await AnsweringAsync(client, proxy, server.Deadline);

            // Plain, many times over the connections that the proxy keeps.
            for (int i = 0; i < 100; i++)
            {
                Assert.Equal("ok", await client.GetStringAsync("/echo", server.Deadline));
            }

            // An upload with its length, and a stream without: each comes back as it went.
            byte[] bytes = new byte[3_000_000];
            new Random(1).NextBytes(bytes);
            using HttpResponseMessage sized = await client.PostAsync("/echo", new ByteArrayContent(bytes), server.Deadline);
            Assert.Equal(bytes, await sized.Content.ReadAsByteArrayAsync(server.Deadline));
            using HttpRequestMessage streaming = new(HttpMethod.Post, "/echo") { Content = new StreamContent(new MemoryStream(bytes)) };
            streaming.Headers.TransferEncodingChunked = true;
            using HttpResponseMessage streamed = await client.SendAsync(streaming, HttpCompletionOption.ResponseHeadersRead, server.Deadline);
            Assert.Equal(bytes, await streamed.Content.ReadAsByteArrayAsync(server.Deadline));

            // A refusal keeps its status, its Retry-After and its words, with an upload too.
            Task<HttpResponseMessage> running = client.GetAsync("/", server.Deadline);
            await BinaryShutdownTests.RunningAsync(server);
            using HttpResponseMessage refused = await client.PostAsync("/", new ByteArrayContent(bytes), server.Deadline);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
            Assert.True(refused.Headers.Contains("Retry-After"));
            Assert.StartsWith("Request dropped due to backpressure", await refused.Content.ReadAsStringAsync(server.Deadline), StringComparison.Ordinal);
            using HttpResponseMessage answered = await running;
            Assert.Equal("Hello!", await answered.Content.ReadAsStringAsync(server.Deadline));
        }
        finally
        {
            proxy.Kill(entireProcessTree: true);
            await proxy.WaitForExitAsync(CancellationToken.None);
        }
    }

    private static async Task AnsweringAsync(HttpClient client, Process proxy, CancellationToken deadline)
    {
        while (true)
        {
            try
            {
                if (await client.GetStringAsync("/-/readyz", deadline) == "success")
                {
                    return;
                }
            }
            catch (HttpRequestException)
            {
                Assert.False(proxy.HasExited, "The proxy did not start.");
                await Task.Yield();
            }
        }
    }

    private static async Task<(int ExitCode, string Out)> RunAsync(ServeProcess server, string program, params string[] arguments)
    {
        using Process process = Start(program, arguments);
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(server.Deadline);
            await process.WaitForExitAsync(server.Deadline);
            return (process.ExitCode, await output);
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
        }
    }

    private static Process Start(string program, string[] arguments)
    {
        Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        process.ErrorDataReceived += static (_, _) => { };
        process.BeginErrorReadLine();
        return process;
    }

    internal static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
