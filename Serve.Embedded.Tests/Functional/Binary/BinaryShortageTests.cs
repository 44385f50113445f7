using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>The system gives the server no more of something. It says so, goes on, and mends what it could not when it is given again.</summary>
public sealed class BinaryShortageTests
{
    [Fact]
    public async Task NoDescriptorsLeft_WorkerAndGuardDie_AreReplacedWhenThereAreAgain()
    {
        using OperatorSite site = await WorkerSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        using Process worker = await WorkerSite.AskForProcessAsync(server);
        int stray = int.Parse(await server.Client.GetStringAsync("/?stray", server.Deadline), CultureInfo.InvariantCulture);
        IReadOnlyList<int> workers = [.. Processes.ChildrenOf(server.Id, "worker.Worker")];
        int guard = Assert.Single(Processes.ChildrenOf(server.Id, "serve-worker-guard"));

        using (Rlimits.NoDescriptors(server.Id))
        {
            foreach (int each in workers)
            {
                ServeBinary.Kill(each, 9);
            }

            ServeBinary.Kill(guard, 9);
            foreach (int each in workers)
            {
                Assert.Contains("the server can have no more files and connections open. Raise its limit of them (ulimit -n", await server.LineAsync($"The worker process {each} has ended, and what is left of it cannot be looked for: "), StringComparison.Ordinal);
            }

            Assert.Contains("No pipe can be made", await server.LineAsync("The guard that ends the workers when this server is killed cannot be started. "), StringComparison.Ordinal);
            Assert.Equal(stray, Process.GetProcessById(stray).Id);
        }

        await server.LineAsync("The guard that ends the workers when this server is killed runs now");
        await Processes.AreGoneAsync([.. workers, stray], server.Deadline);
        Assert.DoesNotContain((await WorkerSite.AskForProcessAsync(server)).Id, workers);
        Assert.Single(Processes.ChildrenOf(server.Id, "serve-worker-guard"));
        Assert.Single(server.Lines, static l => l.Contains("cannot be started. No pipe", StringComparison.Ordinal));
        server.Signal(ServeBinary.Terminate);
        Assert.Equal(0, await server.ExitAsync());
    }

    /// <summary>Clients get what the server does not need itself: it replaces its workers, answers on the admin port, and ends in time.</summary>
    [Fact]
    public async Task MoreClientsThanDescriptors_ServerKeepsSomeForItself()
    {
        using OperatorSite site = await WorkerSite.CreateAsync("health_check_period_s = 0.1");
        site.Shell = "ulimit -n 128; exec \"$0\" \"$@\"";
        await using ServeProcess server = await site.StartAsync();
        using Process worker = await WorkerSite.AskForProcessAsync(server);
        int from = server.LineCount;
        List<RawConnection> clients = [];
        for (int i = 0; i < 200; i++)
        {
            clients.Add(await server.ConnectAsync());
        }

        await server.LineAsync("New connections wait: ");
        ServeBinary.Kill(worker.Id, 9);
        await server.LineAsync(" runs", from);
        using HttpClient admin = new() { BaseAddress = server.AdminAddress };
        Assert.Contains("HEALTHY", await admin.GetStringAsync(new Uri("/api/serve/applications/", UriKind.Relative), server.Deadline), StringComparison.Ordinal);
        Assert.DoesNotContain(server.Lines, static l => l.Contains("Too many open files", StringComparison.Ordinal));

        server.Signal(ServeBinary.Terminate);
        Assert.Equal(0, await server.ExitAsync());
        Assert.DoesNotContain(server.Lines, static l => l.Contains("Not everything had ended", StringComparison.Ordinal));
        Assert.Single(server.Lines, static l => l.Contains("New connections wait: ", StringComparison.Ordinal));
        clients.ForEach(static c => c.Dispose());
    }

    /// <summary>A watchdog that is not fed for want of a descriptor would end the server.</summary>
    [Fact]
    public async Task NoDescriptorsLeft_Watchdog_IsFed()
    {
        using TempFolder folder = new();
        string path = Path.Combine(folder.Path, "notify");
        using Socket systemd = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        systemd.Bind(new UnixDomainSocketEndPoint(path));
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(), environment: new Dictionary<string, string> { ["NOTIFY_SOCKET"] = path, ["WATCHDOG_USEC"] = "200000" });

        using IDisposable none = Rlimits.NoDescriptors(server.Id);
        byte[] message = new byte[4096];
        while (systemd.Available > 0)
        {
            await systemd.ReceiveAsync(message, server.Deadline);
        }

        for (int feeds = 0; feeds < 3;)
        {
            int length = await systemd.ReceiveAsync(message, server.Deadline);
            feeds += Encoding.UTF8.GetString(message, 0, length).Contains("WATCHDOG=1", StringComparison.Ordinal) ? 1 : 0;
        }
    }
}
