using System.Diagnostics;
using System.Net;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Files of Python that take long to import, or cannot be imported yet: nobody else has to wait for them.</summary>
public sealed class BinaryBuildTests
{
    /// <summary>The server's import of it waits for somebody who writes to the pipe "gate"; a replica's does not.</summary>
    private const string Gated =
        """
        import os
        from serve_embedded import serve

        gate = "open" if "SERVE_REPLICA_ID" in os.environ else open("gate").read()

        @serve.deployment
        class Model:
            def __call__(self, request):
                return gate
        """;

    private const string NeedsDisk =
        """
        from serve_embedded import serve

        weights = open("weights").read()

        @serve.deployment(name="loaded")
        class Model:
            def __call__(self, request):
                return weights
        """;

    [Fact]
    public async Task Boot_OneImportHangs_TheOthersServeAndWhoAsksForItWaits()
    {
        using OperatorSite site = await CreateAsync(Gated);
        await using ServeProcess server = Launch(site);
        await server.ListensAsync();
        await using FileStream gate = await OpenGateAsync(site, server);

        string echo = await server.Client.GetStringAsync("/echo", server.Deadline);
        Finished status = await site.RunAsync(server, "status");
        Task<string> waiting = server.Client.GetStringAsync("/model", server.Deadline);
        using HttpResponseMessage ready = await server.Client.GetAsync("/-/readyz", server.Deadline);

        Assert.Equal("ok", echo);
        Assert.Contains("python:model.Model is being imported. Requests wait meanwhile.", status.Out, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, ready.StatusCode);
        Assert.DoesNotContain(server.Lines, l => l.Contains("Ready:", StringComparison.Ordinal));
        await gate.WriteAsync("open"u8.ToArray(), server.Deadline);
        gate.Close();
        Assert.Equal("open", await waiting);
        await server.LineAsync("Ready: serving on ");
    }

    [Fact]
    public async Task Boot_StoppedWhileAnImportHangs_EndsAtOnceAndLeavesNothing()
    {
        using OperatorSite site = await CreateAsync(Gated);
        await using ServeProcess server = Launch(site);
        await server.ListensAsync();
        await using FileStream gate = await OpenGateAsync(site, server);
        int[] children = [.. Processes.ChildrenOf(server.Id)];

        server.Signal(ServeBinary.Terminate);

        Assert.Equal(0, await server.ExitAsync());
        Assert.NotEmpty(children);
        await Processes.AreGoneAsync(children, server.Deadline);
    }

    [Fact]
    public async Task Boot_TheDiskIsMountedLate_TheApplicationComesUpByItself()
    {
        using OperatorSite site = await CreateAsync(NeedsDisk);
        await using ServeProcess server = await site.StartAsync();

        using HttpResponseMessage refused = await server.Client.GetAsync("/model", server.Deadline);
        Finished failed = await site.RunAsync(server, "status");
        int from = server.LineCount;
        site.Write("weights", "42");
        await server.LineAsync("of deployment 'loaded' in application 'model' runs", from);
        string answer = await server.Client.GetStringAsync("/model", server.Deadline);
        Finished status = await site.RunAsync(server, "status");
        Finished history = await site.RunAsync(server, "history");

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Contains("No such file or directory: 'weights'", failed.Out, StringComparison.Ordinal);
        Assert.Equal("42", answer);
        Assert.DoesNotContain("FAILED", status.Out, StringComparison.Ordinal);
        Assert.Contains("good", history.Out, StringComparison.Ordinal);
        Assert.Equal("ok", await server.Client.GetStringAsync("/echo", server.Deadline));
    }

    private static async Task<OperatorSite> CreateAsync(string code)
    {
        await Programs.SkipWithoutAsync("python3", "--version");
        OperatorSite site = new(
            $"""
            {Toml.EchoApplication()}
            [[applications]]
            name = "model"
            route_prefix = "/model"
            import_path = "python:model.Model"
            """);
        site.Write("model.py", code);
        using Process make = Process.Start("mkfifo", Path.Combine(site.Folder, "gate"));
        await make.WaitForExitAsync(TestContext.Current.CancellationToken);
        return site;
    }

    private static ServeProcess Launch(OperatorSite site) => ServeProcess.Follow(
        ServeBinary.Start(new() { Arguments = ["run", site.ConfigPath, "--port", "0", "--admin-port", "0"], Directory = site.Folder, Environment = site.Environment }), site.ConfigPath);

    /// <summary>Opening a pipe to write waits for who opens it to read: then the import is under way.</summary>
    private static Task<FileStream> OpenGateAsync(OperatorSite site, ServeProcess server) =>
        Task.Run(() => File.OpenWrite(Path.Combine(site.Folder, "gate")), server.Deadline);
}
