using System.Globalization;
using System.Net;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Replicas.Workers;

/// <summary>A class of Python as a replica: its life, its requests and its results.</summary>
public sealed class PythonHostTests
{
    private const string Results =
        """
        import collections, dataclasses, datetime, decimal, enum, ipaddress, pathlib, re, types, uuid
        from serve_embedded import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse, serve

        @dataclasses.dataclass
        class Point:
            x: int

        class Colour(enum.Enum):
            RED = "red"

        class Array:                         # As NumPy's is.
            def tolist(self): return [1.5, 2.0]

        class Old:                           # As a model of Pydantic's first version is.
            __fields__ = ["x"]
            def __iter__(self): yield "x", 1
            def dict(self): return {"x": id}

        class Key:                           # As a NumPy integer is.
            def tolist(self): return 7

        id = uuid.UUID("12345678123456781234567812345678")

        class Foreign:                       # As Starlette's Response is.
            status_code = 202
            headers = {"Content-Type": "text/x-foreign", "X-Own": "1"}
            body = b"foreign"

        class Async:
            headers = {}
            status_code = 200
            async def items(self):
                yield "a"
                yield b"b"
            body_iterator = property(items)

        results = {
            "/str": "grün",
            "/bytes": b"\x00\x01",
            "/none": None,
            "/dict": {"a": [1, 2.5, None, True], "ü": "ß"},
            "/list": [1, "x"],
            "/number": 5,
            "/false": False,
            "/objects": {"p": Point(1), "c": Colour.RED, "a": Array(), "t": datetime.date(2026, 1, 2), "s": {1}},
            "/texts": [id, ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8"), re.compile("a+"), pathlib.PurePosixPath("/a"), ValueError("why"), memoryview(b"m")],
            "/numbers": [decimal.Decimal("1.50"), decimal.Decimal("20"), decimal.Decimal("1E+2"), datetime.timedelta(minutes=1.5)],
            "/many": [range(3), frozenset([1]), collections.deque([1, 2]), {"a": 1}.keys(), types.MappingProxyType({"a": id})],
            "/model": {"m": [Old()]},
            "/keys": {Key(): 1, id: [Point(id)], Colour.RED: {datetime.date(2026, 1, 2): range(2)}, 2: (decimal.Decimal("0.5"),), None: True},
            "/html": HTMLResponse("<p>", status_code=201, headers={"X-A": "b"}),
            "/text": PlainTextResponse("t"),
            "/json": JSONResponse([1], status_code=422),
            "/redirect": RedirectResponse("/elsewhere"),
            "/own": Response(b"raw", media_type="image/png"),
            "/empty": Response(status_code=204),
            "/foreign": Foreign(),
            "/foreign-stream": Async(),
        }
        """;

    private const string PlainResults = Results +
        """

        class Model:
            def __call__(self, request):
                return results[request.path]
        """;

    private const string AsyncResults = Results +
        """

        class Model:
            async def __call__(self, request):
                return results[request.path]
        """;

    public static TheoryData<string, int, string?, string> Rendered => new()
    {
        { "/str", 200, "text/plain; charset=utf-8", "grün" },
        { "/bytes", 200, "text/plain", "\0\u0001" },
        { "/none", 200, "text/plain", "" },
        { "/dict", 200, "application/json", """{"a":[1,2.5,null,true],"ü":"ß"}""" },
        { "/list", 200, "application/json", """[1,"x"]""" },
        { "/number", 200, "application/json", "5" },
        { "/false", 200, "application/json", "false" },
        { "/objects", 200, "application/json", """{"p":{"x":1},"c":"red","a":[1.5,2.0],"t":"2026-01-02","s":[1]}""" },
        { "/texts", 200, "application/json", """["12345678-1234-5678-1234-567812345678","::1","10.0.0.0/8","a+","/a","why","m"]""" },
        { "/numbers", 200, "application/json", "[1.5,20,100,90.0]" },
        { "/many", 200, "application/json", """[[0,1,2],[1],[1,2],["a"],{"a":"12345678-1234-5678-1234-567812345678"}]""" },
        { "/model", 200, "application/json", """{"m":[{"x":"12345678-1234-5678-1234-567812345678"}]}""" },
        { "/keys", 200, "application/json", """{"7":1,"12345678-1234-5678-1234-567812345678":[{"x":"12345678-1234-5678-1234-567812345678"}],"red":{"2026-01-02":[0,1]},"2":[0.5],"null":true}""" },
        { "/html", 201, "text/html; charset=utf-8", "<p>" },
        { "/text", 200, "text/plain; charset=utf-8", "t" },
        { "/json", 422, "application/json", "[1]" },
        { "/redirect", 307, null, "" },
        { "/own", 200, "image/png", "raw" },
        { "/empty", 204, null, "" },
        { "/foreign", 202, "text/x-foreign", "foreign" },
        { "/foreign-stream", 200, null, "ab" },
    };

    [Fact]
    public async Task Result_OfEachKind_BecomesItsResponse()
    {
        foreach (string module in (string[])[PlainResults, AsyncResults])
        {
            await using PythonHost host = await PythonHost.StartAsync(module);
            foreach ((string path, int status, string? type, string body) in Rendered.Select(row => row.Data))
            {
                using HttpResponseMessage response = await host.Client.GetAsync(path, host.Deadline);

                Assert.Equal((path, status, type, body), (path, (int)response.StatusCode, response.Content.Headers.ContentType?.ToString(), await response.Content.ReadAsStringAsync(host.Deadline)));
                using HttpResponseMessage head = await host.Client.SendAsync(new(HttpMethod.Head, path), host.Deadline);
                Assert.Equal((path, status, type, ""), (path, (int)head.StatusCode, head.Content.Headers.ContentType?.ToString(), await head.Content.ReadAsStringAsync(host.Deadline)));
            }
        }
    }

    [Theory]
    [InlineData("def")]
    [InlineData("async def")]
    public async Task Result_ThatJsonDoesNotHave_IsSaidOnce(string def)
    {
        await using PythonHost host = await PythonHost.StartAsync(
            $$"""
            class Model:
                {{def}} __call__(self, request):
                    return {"a": [self]}
            """);

        using HttpResponseMessage response = await host.Client.GetAsync("/", host.Deadline);
        Assert.Equal(HttpStatusCode.InternalServerError, response.StatusCode);
        await host.LineAsync("TypeError: A handler's result must be str, bytes, a Response, a generator or JSON; in it there is a m.Model");
        Assert.Single(host.Output.Split('\n'), line => line.Contains("Traceback", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Redirect_ToWhatNoHeaderCanCarry_IsQuoted()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            from serve_embedded import RedirectResponse
            class Model:
                def __call__(self, request):
                    return RedirectResponse("http://h:8/a b%20c?q=日&r=[1]#ü")
            """);

        using HttpResponseMessage response = await host.Client.GetAsync("/", host.Deadline);
        Assert.Equal("http://h:8/a%20b%20c?q=%E6%97%A5&r=[1]#%C3%BC", response.Headers.NonValidated["Location"].ToString());
    }

    [Theory]
    [InlineData("def", "iter(['a', 'b'])")]
    [InlineData("def", "Async()")]
    [InlineData("async def", "iter(['a', 'b'])")]
    [InlineData("async def", "Async()")]
    public async Task Background_OfAStreamedResponse_RunsOnceItIsSent(string def, string items)
    {
        await using PythonHost host = await PythonHost.StartAsync(
            $$"""
            class Async:
                async def __aiter__(self):
                    yield "a"
                    yield "b"
            class Streaming:                     # As Starlette's StreamingResponse is.
                status_code = 200
                headers = {}
                def __init__(self, items): self.body_iterator = items
                async def background(self): print("background", flush=True)
            class Model:
                {{def}} __call__(self, request):
                    return Streaming({{items}})
            """);

        Assert.Equal("ab", await host.GetAsync("/"));
        await host.LineAsync("background");
    }

    [Fact]
    public async Task Handler_ThatForks_EndsWhatItForkedAndNotItsWorker()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            import multiprocessing, time
            fork = multiprocessing.get_context("fork")
            class Model:
                def __call__(self, request):
                    child = fork.Process(target=time.sleep, args=(20,))
                    child.start()
                    child.terminate()                    # As a pool does at its end.
                    child.join(10)
                    return child.exitcode
            """);

        Assert.Equal("-15", await host.GetAsync("/"));
        Assert.Equal("-15", await host.GetAsync("/"));
        Assert.Equal((200, "ok"), await host.ControlAsync(HttpMethod.Get, "health"));
    }

    [Fact]
    public async Task WhatAHandlerForked_HoldsNoneOfTheWorkersConnections()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            import os, time
            class Model:
                def __call__(self, request):
                    child = os.fork()
                    if child == 0:
                        time.sleep(600)
                        os._exit(0)
                    return f"{child}#"
            """);
        using RawConnection connection = await host.ConnectAsync();
        await connection.SendAsync("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        int child = int.Parse((await connection.ReadUntilAsync("#")).Split("\r\n\r\n")[1].TrimEnd('#'), CultureInfo.InvariantCulture);
        try
        {
            await connection.ReadToEndAsync();
            host.Signal(15);
            await host.EndAsync();

            // Nobody listens there any more: a request would wait for what the worker has left behind.
            await Assert.ThrowsAsync<InvalidOperationException>(host.ConnectAsync);
        }
        finally
        {
            ServeBinary.Kill(child, 9);
        }
    }

    [Theory]
    [InlineData("def", "", "")]
    [InlineData("async def", "await ", "()")]
    public async Task Request_HasWhatTheClientSent(string def, string wait, string call)
    {
        string loop = wait.Length > 0 ? "async for" : "for";
        await using PythonHost host = await PythonHost.StartAsync(
            $$"""
            from serve_embedded import Request, serve
            class Model:
                {{def}} __call__(self, request: Request):
                    assert isinstance(request, Request) and isinstance(request, serve.Request)
                    request.state.seen = 1
                    if request.path == "/json": return {{wait}}request.json()
                    if request.path == "/body": return {{wait}}request.body{{call}}
                    if request.path == "/called": return {{wait}}request.body()
                    if request.path == "/text": return {{wait}}request.text()
                    if request.path == "/stream":
                        size = 0
                        {{loop}} chunk in request.stream(): size += len(chunk)
                        return size
                    return [request.method, request.path, request.url.path, str(request.url), request.url.hostname, request.url.query, request.query_params["a"],
                            request.query_params.getlist("a"), request.query_params.get("none", "d"), request.headers["X-Own"], request.headers.getlist("x-own"),
                            "nope" in request.headers, request.cookies, request.client.host, request.path_params]
            """);

        using HttpRequestMessage message = new(HttpMethod.Patch, "/one%20two?a=1&a=2%263&b=");
        message.Headers.Add("x-own", ["v1", "v2"]);
        message.Headers.Add("cookie", "k=v; l=\"m\"");
        message.Headers.Add("x-forwarded-for", "1.2.3.4");
        using HttpResponseMessage response = await host.Client.SendAsync(message, host.Deadline);
        Assert.Equal(
            """["PATCH","/one two","/one two","http://worker/one%20two?a=1&a=2%263&b=","worker","a=1&a=2%263&b=","2&3",["1","2&3"],"d","v1, v2",["v1, v2"],false,{"k":"v","l":"m"},"1.2.3.4",{}]""",
            await response.Content.ReadAsStringAsync(host.Deadline));

        Assert.Equal("""{"a":[1]}""", await host.PostAsync("/json", """{ "a": [1] }"""));
        Assert.Equal("bytes", await host.PostAsync("/body", "bytes"));
        Assert.Equal("bytes", await host.PostAsync("/called", "bytes"));
        Assert.Equal("ü", await host.PostAsync("/text", "ü"));
        Assert.Equal("", await host.GetAsync("/body"));
        byte[] bytes = new byte[20_000_000];
        Assert.Equal("20000000", await SendAsync(host, "/stream", new ByteArrayContent(bytes), chunked: false));
        Assert.Equal("20000000", await SendAsync(host, "/stream", new ByteArrayContent(bytes), chunked: true));
        Assert.Equal("0", await host.GetAsync("/stream"));
    }

    [Fact]
    public async Task Start_ModuleThatParsesItsCommandLine_FindsNothingThere()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            import argparse
            parser = argparse.ArgumentParser()
            parser.add_argument("--model", default="small")
            options = parser.parse_args()
            class Model:
                def __call__(self, request):
                    return options.model
            """);

        Assert.Equal("small", await host.GetAsync("/"));
    }

    [Fact]
    public async Task Start_GivesTheConstructorItsArgumentsThenReconfigures()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            import sys
            from serve_embedded import serve

            @serve.deployment
            class Real:
                def __init__(self, a, b=0, c=0):
                    self.seen = [a, b, c]
                def reconfigure(self, user_config, rank=None):
                    context = serve.get_replica_context()
                    self.seen += [user_config, rank.rank, context.app_name, context.deployment, context.replica_id, context.rank]
                async def __call__(self, request):
                    return self.seen + [sys.modules["serve_embedded"] is sys.modules["__main__"]]

            Model = Real.bind("bound", b=1)
            """,
            ("SERVE_ARGS", """{"b": 2, "c": 3}"""),
            ("SERVE_USER_CONFIG", """{"t": 0.5}"""));

        Assert.Equal("""["bound",2,3,{"t":0.5},3,"app","Model","Model#abc",3,true]""", await host.GetAsync("/"));
    }

    [Fact]
    public async Task Start_AsyncConstructorAndDefaultsOfTheDecorator_AreUsed()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            import asyncio
            from serve_embedded import serve

            @serve.deployment(user_config={"from": "decorator"})
            class Model:
                async def __init__(self):
                    await asyncio.sleep(0)
                    self.ready = True
                async def reconfigure(self, user_config):
                    self.config = user_config
                def __call__(self, request):
                    return [self.ready, self.config]
            """);

        Assert.Equal("""[true,{"from":"decorator"}]""", await host.GetAsync("/"));
    }

    [Theory]
    [InlineData("def __init__(self): raise RuntimeError('no model')", "RuntimeError: no model")]
    [InlineData("def reconfigure(self, c): raise RuntimeError('no such key')", "RuntimeError: no such key")]
    [InlineData("pass", "Model has a user_config and no reconfigure(self, user_config) that takes it: write one, or take user_config away")]
    [InlineData("def __init__(self, a): ...", "missing 1 required positional argument: 'a'")]
    [InlineData("def __init__(self): import sys; sys.exit(5)", "SystemExit: 5", 5)]
    public async Task Start_ThatFails_EndsWithTheReasonAsItsLastLine(string member, string reason, int exitCode = 1)
    {
        Finished finished = await PythonHost.RunAsync(
            $$"""
            class Model:
                {{member}}
                def __call__(self, request): ...
            """,
            ["run", "m.Model"],
            [("SERVE_USER_CONFIG", """{"k": 1}""")]);

        Assert.Equal(exitCode, finished.ExitCode);
        Assert.EndsWith(reason, finished.Error.TrimEnd(), StringComparison.Ordinal);
        Assert.DoesNotContain("asyncio", finished.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Handler_ThatRaises_Is500WithItsTracebackInTheLogUnderTheRequest()
    {
        foreach (string def in (string[])["def", "async def"])
        {
            await using PythonHost host = await PythonHost.StartAsync(
                $$"""
                import logging, sys
                from serve_embedded import Response
                class Model:
                    {{def}} __call__(self, request):
                        if request.path == "/exit": sys.exit(3)
                        if request.path == "/stop": raise StopIteration
                        if request.path == "/nan": return float("nan")
                        if request.path == "/object": return object()
                        if request.path == "/key": return {(1, 2): 3}
                        if request.path == "/header": return Response("x", headers={"a": "b\r\nc: d"})
                        if request.path == "/name": return Response("x", headers={"a b": "c"})
                        if request.path == "/status": return Response("x", status_code=99)
                        if request.path == "/ok":
                            logging.getLogger("ray.serve").info("a line of the handler")
                            return "ok"
                        raise ValueError("secret detail")
                """);
            foreach (string path in (string[])["/raise", "/exit", "/stop", "/nan", "/object", "/key", "/header", "/name", "/status"])
            {
                using HttpRequestMessage request = new(HttpMethod.Get, path);
                request.Headers.Add("x-request-id", "id" + path);
                using HttpResponseMessage response = await host.Client.SendAsync(request, host.Deadline);

                Assert.Equal((HttpStatusCode.InternalServerError, "text/plain", "Internal Server Error"), (response.StatusCode, response.Content.Headers.ContentType?.ToString(), await response.Content.ReadAsStringAsync(host.Deadline)));
                await host.LineAsync($"[id{path}] Traceback (most recent call last):");
            }

            await host.LineAsync("[id/raise] ValueError: secret detail");
            using HttpRequestMessage after = new(HttpMethod.Get, "/ok");
            after.Headers.Add("x-request-id", "id-ok");
            using HttpResponseMessage answer = await host.Client.SendAsync(after, host.Deadline);
            Assert.Equal("ok", await answer.Content.ReadAsStringAsync(host.Deadline));
            await host.LineAsync("[id-ok] INFO a line of the handler");
        }
    }

    [Fact]
    public async Task PlainHandlers_RunInAsManyThreadsAsTheLimit()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            import threading
            gate, lock = threading.Event(), threading.Lock()
            class Model:
                running = 0
                def check_health(self): ...
                def __call__(self, request):
                    with lock:
                        Model.running += 1
                        print(f"running {Model.running}", flush=True)
                    if request.path == "/open": gate.set()
                    gate.wait()
                    with lock: Model.running -= 1
                    return threading.current_thread().name
            """,
            ("SERVE_MAX_ONGOING_REQUESTS", "2"));

        Task<string>[] requests = [.. Enumerable.Range(0, 3).Select(_ => host.GetAsync("/"))];
        await host.LineAsync("running 2");

        // A health check does not wait behind requests, and nor does the third request once the limit is higher.
        Assert.Equal((200, "ok"), await host.ControlAsync(HttpMethod.Get, "health"));
        Assert.DoesNotContain("running 3", host.Output, StringComparison.Ordinal);
        Assert.Equal((200, "ok"), await host.ControlAsync(HttpMethod.Post, "limits", """{"max_ongoing_requests": 4}"""));
        await host.LineAsync("running 3");
        await host.GetAsync("/open");
        Assert.Equal(3, (await Task.WhenAll(requests)).Distinct().Count());
    }

    /// <summary>Nobody waits for these: the log is all there is.</summary>
    [Fact]
    public async Task ThreadOrTask_Fails_IsAnError()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            import asyncio, gc, logging, threading
            class Model:
                async def __call__(self, request):
                    def fail(): raise ValueError("of a thread")
                    thread = threading.Thread(target=fail, name="mine")
                    thread.start()
                    thread.join()
                    async def fails(): raise ValueError("of a task")
                    task = asyncio.ensure_future(fails())
                    await asyncio.wait([task])
                    del task
                    gc.collect()
                    logging.getLogger("mine").warning("careful")
                    return "fine"
            """);

        Assert.EndsWith("fine", await host.GetAsync("/"), StringComparison.Ordinal);

        await host.LineAsync("careful");
        string[] lines = host.Output.Split('\n');
        Assert.Contains("<3>Exception in thread mine:", lines);
        Assert.Contains("<3>ValueError: of a thread", lines);
        Assert.Contains(lines, static l => l.StartsWith("<3>", StringComparison.Ordinal) && l.EndsWith("Task exception was never retrieved", StringComparison.Ordinal));
        Assert.Contains("<3>ValueError: of a task", lines);
        Assert.Contains(lines, static l => l.StartsWith("<4>", StringComparison.Ordinal) && l.EndsWith("careful", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("gate.wait()\n            return 'late'")]
    [InlineData("yield 'begun'; gate.wait()")]
    public async Task PlainHandlers_ThatAllHangAfterTheirRequests_AreUnwellUntilTheyEnd(string hangs)
    {
        await using PythonHost host = await PythonHost.StartAsync(
            $$"""
            import threading
            gate = threading.Event()
            class Model:
                def reconfigure(self, user_config): gate.set()
                def __call__(self, request):
                    print("begun " + request.path, flush=True)
                    {{hangs.Replace("\n            ", "\n        ", StringComparison.Ordinal)}}
            """,
            ("SERVE_MAX_ONGOING_REQUESTS", "2"));
        using RawConnection first = await BeginAsync("/1");
        using RawConnection second = await BeginAsync("/2");

        // Their requests have not ended: they are only slow.
        Assert.Equal((200, "ok"), await host.ControlAsync(HttpMethod.Get, "health?timeout_s=0"));

        // One thread is left.
        first.Dispose();
        while (!host.Output.Contains("<3>[id/1] Model.__call__ still runs 0 s", StringComparison.Ordinal))
        {
            Assert.Equal((200, "ok"), await host.ControlAsync(HttpMethod.Get, "health?timeout_s=0"));
        }

        await host.LineAsync("gate.wait()");
        RawConnection third = await host.ConnectAsync();
        await third.SendAsync("GET /3 HTTP/1.1\r\nhost: w\r\nx-request-id: id/3\r\n\r\n");
        third.Dispose();
        second.Dispose();
        await HealthIsAsync((500, "2 handlers still run 0 s after their requests ended: Model.__call__. No thread of max_ongoing_requests = 2 is left for another; the log says where they hang"));
        Assert.Equal((200, "ok"), await host.ControlAsync(HttpMethod.Get, "health?timeout_s=3600"));

        Assert.Equal((200, "ok"), await host.ControlAsync(HttpMethod.Post, "reconfigure", "{}"));
        await HealthIsAsync((200, "ok"));
        Assert.NotEqual("", await host.GetAsync("/4"));
        Assert.Equal(2, host.Output.Split(" still runs ").Length - 1);
        Assert.DoesNotContain("begun /3", host.Output, StringComparison.Ordinal);

        async Task<RawConnection> BeginAsync(string path)
        {
            RawConnection client = await host.ConnectAsync();
            await client.SendAsync($"GET {path} HTTP/1.1\r\nhost: w\r\nx-request-id: id{path}\r\n\r\n");
            await host.LineAsync("begun " + path);
            return client;
        }

        async Task HealthIsAsync((int, string) expected)
        {
            (int, string) last;
            while ((last = await host.ControlAsync(HttpMethod.Get, "health?timeout_s=0")) != expected)
            {
                Assert.False(host.Deadline.IsCancellationRequested, last.ToString());
            }
        }
    }

    [Theory]
    [InlineData("def", "")]
    [InlineData("async def", "")]
    [InlineData("def", "none")]
    public async Task Control_HealthAndReconfigure_CallTheClass(string def, string hooks)
    {
        string members = hooks == "none" ? "" :
            $$"""
                {{def}} check_health(self):
                    if self.config == "ill": raise RuntimeError("no GPU")
                {{def}} reconfigure(self, user_config):
                    if user_config == "bad": raise ValueError("no such threshold")
                    self.config = user_config
            """;
        await using PythonHost host = await PythonHost.StartAsync(
            $$"""
            class Model:
                config = "none"
            {{members}}
                def __call__(self, request): return [request.path, self.config]
            """);

        Assert.Equal((200, "ok"), await host.ControlAsync(HttpMethod.Get, "health"));
        if (hooks == "none")
        {
            Assert.Equal((400, "Model has no reconfigure(self, user_config)"), await host.ControlAsync(HttpMethod.Post, "reconfigure", "\"ill\""));
            return;
        }

        Assert.Equal((400, "ValueError: no such threshold"), await host.ControlAsync(HttpMethod.Post, "reconfigure", "\"bad\""));
        await host.LineAsync("[reconfigure] ValueError: no such threshold");
        Assert.Equal(400, (await host.ControlAsync(HttpMethod.Post, "reconfigure", "{")).Status);
        Assert.Equal("""["/","none"]""", await host.GetAsync("/"));
        Assert.Equal((200, "ok"), await host.ControlAsync(HttpMethod.Post, "reconfigure", "\"ill\""));
        Assert.Equal("""["/","ill"]""", await host.GetAsync("/"));
        Assert.Equal((500, "RuntimeError: no GPU"), await host.ControlAsync(HttpMethod.Get, "health"));
        Assert.Equal((404, "No GET /-/worker/other here"), await host.ControlAsync(HttpMethod.Get, "other"));
    }

    [Fact]
    public async Task Control_WithoutTheToken_IsAnOrdinaryRequest()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            import os
            class Model:
                def check_health(self): raise RuntimeError("never asked")
                def __call__(self, request): return [request.path, os.environ.get("SERVE_CONTROL_TOKEN")]
            """);

        Assert.Equal((200, """["/-/worker/health",null]"""), await host.ControlAsync(HttpMethod.Get, "health", token: null));
        Assert.Equal((200, """["/-/worker/health",null]"""), await host.ControlAsync(HttpMethod.Get, "health", token: "guessed"));
        Assert.Equal((200, """["/-/worker/reconfigure",null]"""), await host.ControlAsync(HttpMethod.Post, "reconfigure", "{}", token: ""));
    }

    [Fact]
    public async Task Terminate_FinishesWhatRunsAndEndsWithZero()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            import atexit, threading
            atexit.register(lambda: print("at exit"))
            threading.Thread(target=threading.Event().wait).start()  # Nobody waits for it.
            class Model:
                gate = threading.Event()
                def __call__(self, request):
                    if request.path == "/open": return str(self.gate.set())
                    print("begun", flush=True)
                    self.gate.wait()
                    return "x" * 5_000_000
                def reconfigure(self, user_config): self.gate.set()
                def __del__(self): print("destructor")
            """);
        using RawConnection idle = await host.ConnectAsync();
        using RawConnection early = await host.ConnectAsync();
        await early.SendAsync("POST /-/worker/reconfigure HTTP/1.1\r\nhost: w\r\nx-serve-control: " + PythonHost.Token + "\r\ncontent-length: 2\r\n\r\n");
        Task<HttpResponseMessage> running = host.Client.GetAsync("/", host.Deadline);
        await host.LineAsync("begun");

        host.Signal(ServeBinary.Terminate);

        Assert.Equal("", await idle.ReadToEndAsync());
        await early.SendAsync("{}");
        using HttpResponseMessage response = await running;
        Assert.Equal(5_000_000, (await response.Content.ReadAsByteArrayAsync(host.Deadline)).Length);
        Assert.True(response.Headers.ConnectionClose);
        Assert.Equal(0, await host.ExitAsync());
        Assert.Contains("destructor", host.Output, StringComparison.Ordinal);
        Assert.Contains("at exit", host.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Batch_GathersCallsAndAnswersEach()
    {
        await using PythonHost host = await PythonHost.StartAsync(
            """
            from serve_embedded import serve
            class Model:
                def reconfigure(self, user_config): self.predict.set_max_batch_size(user_config)
                @serve.batch(max_batch_size=3, batch_wait_timeout_s=30)
                async def predict(self, numbers, *, factor):
                    if 13 in numbers: raise ValueError("unlucky")
                    if 14 in numbers: return [1]
                    return [f"{n * f} of {len(numbers)}" for n, f in zip(numbers, factor)]
                @serve.batch(max_batch_size=2, batch_wait_timeout_s=30)
                async def stream(self, numbers):
                    yield [f"{n} " for n in numbers]
                    yield ["end" if n == 1 else StopIteration for n in numbers]
                async def __call__(self, request):
                    n = int(request.query_params["n"])
                    return self.stream(n) if request.path == "/stream" else await self.predict(n, factor=10)
            """);

        Assert.Equal(["10 of 3", "20 of 3", "30 of 3"], (await Task.WhenAll(host.GetAsync("/?n=1"), host.GetAsync("/?n=2"), host.GetAsync("/?n=3"))).Order());
        Assert.Equal(["1 end", "2 "], (await Task.WhenAll(host.GetAsync("/stream?n=1"), host.GetAsync("/stream?n=2"))).Order());
        await host.ControlAsync(HttpMethod.Post, "reconfigure", "1");
        foreach ((string n, string reason) in ((string, string)[])[("13", "ValueError: unlucky"), ("14", "")])
        {
            using HttpResponseMessage failed = await host.Client.GetAsync("/?n=" + n, host.Deadline);
            Assert.Equal(n == "14" ? HttpStatusCode.OK : HttpStatusCode.InternalServerError, failed.StatusCode);
            await host.LineAsync(reason);
        }

        Assert.Equal("40 of 1", await host.GetAsync("/?n=4"));
    }

    private static async Task<string> SendAsync(PythonHost host, string path, HttpContent content, bool chunked)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, path) { Content = content };
        request.Headers.TransferEncodingChunked = chunked;
        using HttpResponseMessage response = await host.Client.SendAsync(request, host.Deadline);
        return await response.Content.ReadAsStringAsync(host.Deadline);
    }
}
