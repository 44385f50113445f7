using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Replicas.Workers;

[System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
public sealed class WorkerProcessTests : IAsyncDisposable
{
    private readonly TestWorkers _workers = new();

    [Fact]
    public async Task Exited_ProgramEndsByItself_TellsTheExitCode()
    {
        WorkerExit exit = await _workers.RunAsync("exit 3");

        Assert.Equal(new(3, null), exit);
        Assert.Equal("exit code 3", exit.ToString());
    }

    [Fact]
    public async Task Exited_ProgramEndsBySignal_NamesTheSignal()
    {
        WorkerExit exit = await _workers.RunAsync("kill -SEGV $$");

        Assert.Equal("signal 11 (SIGSEGV)", exit.ToString());
        Assert.False(exit.Stopped);
    }

    [Fact]
    public async Task Start_ProgramWithoutSlash_IsFoundInTheWorkersPath()
    {
        string folder = TemporaryFolder();
        WriteScript(Path.Combine(folder, "greet"), "echo hello from $0 in $(pwd)", execute: true);
        WorkerStartInfo info = TestWorkers.Info("greet") with { Environment = new Dictionary<string, string> { ["PATH"] = $"/nowhere:{folder}:/bin" } };

        await _workers.RunAsync(info);

        Assert.Equal([$"hello from {folder}/greet in /"], _workers.Texts);
    }

    [Fact]
    public async Task Start_ProgramWithSlash_IsLookedForFromTheWorkingDirectory()
    {
        string folder = TemporaryFolder();
        WriteScript(Path.Combine(folder, "greet"), "pwd", execute: true);

        await _workers.RunAsync(TestWorkers.Info("./greet") with { WorkingDirectory = folder });

        Assert.Equal([folder], _workers.Texts);
    }

    [Fact]
    public void Start_MissingProgram_SaysWhereItWasLookedFor() => AssertRefused(
        TestWorkers.Info("no-such-program"),
        "The program 'no-such-program' is not in any folder of the worker's PATH (/usr/local/bin:/usr/bin:/bin). Install it, write its path, or set PATH in runtime_env.env_vars");

    [Fact]
    public void Start_MissingPath_NamesTheFile() => AssertRefused(
        TestWorkers.Info("./no-such-program"),
        "The program './no-such-program' cannot be started: there is no file '/./no-such-program' that this user can see");

    [Fact]
    public void Start_FileWithoutPermission_SaysSo()
    {
        string path = Path.Combine(TemporaryFolder(), "script");
        WriteScript(path, "exit 0", execute: false);

        AssertRefused(
            TestWorkers.Info(path),
            $"The program '{path}' cannot be started: '{path}' may not be executed by this user. Make it executable (chmod +x), or put its interpreter before it in the command");
    }

    [Fact]
    public void Start_Folder_SaysSo() => AssertRefused(TestWorkers.Info("/tmp"), "The program '/tmp' cannot be started: '/tmp' is a folder");

    [Fact]
    public void Start_MissingInterpreter_NamesIt()
    {
        string path = Path.Combine(TemporaryFolder(), "script");
        WriteExecutable(path, "#!/no/such/python3\n");

        AssertRefused(
            TestWorkers.Info(path),
            $"The program '{path}' cannot be started: its first line names the interpreter '/no/such/python3', which is not there. Install it or mend the line");
    }

    [Fact]
    public void Start_NoProgramOfThisMachine_SaysSo()
    {
        string path = Path.Combine(TemporaryFolder(), "data");
        WriteExecutable(path, "print('hello')\n");

        Assert.Contains("it is no program for this machine. A script needs a first line", Refused(TestWorkers.Info(path)), StringComparison.Ordinal);
    }

    [Fact]
    public void Start_MissingWorkingDirectory_SaysSo() => AssertRefused(
        TestWorkers.Info("sh") with { WorkingDirectory = "/no/such/folder" },
        "The working directory '/no/such/folder' does not exist, or a folder on the way to it may not be searched by this user. Create it, or mend runtime_env.working_dir");

    [Fact]
    public void Start_WorkingDirectoryIsAFile_SaysSo() => AssertRefused(
        TestWorkers.Info("sh") with { WorkingDirectory = "/etc/passwd" },
        "The working directory '/etc/passwd' is a file, not a folder. Set runtime_env.working_dir to a folder");

    [Fact]
    public void Start_EnvironmentThatCannotBe_SaysSo() => Assert.StartsWith(
        "The environment variable 'A=B' cannot be set",
        Refused(TestWorkers.Info("sh") with { Environment = new Dictionary<string, string> { ["A=B"] = "" } }),
        StringComparison.Ordinal);

    [Fact]
    public async Task Start_ServerHoldsDescriptors_WorkerHasItsThreeOnly()
    {
        // Not closed on exec, as some library or a careless parent might leave it.
        using FileStream held = new("/etc/passwd", FileMode.Open, FileAccess.Read);
        Assert.Equal(0, Descriptors.KeepOnExec((int)held.SafeFileHandle.DangerousGetHandle()));

        await _workers.RunAsync(TestWorkers.Info("ls", "-l", "/proc/self/fd"));

        string[] descriptors = [.. _workers.Texts.Where(static l => l.Contains("->", StringComparison.Ordinal)).Select(static l => string.Join(' ', l.Split(' ')[^3..]))];
        Assert.Equal("0 -> /dev/null", descriptors[0]);
        Assert.StartsWith("1 -> pipe:", descriptors[1], StringComparison.Ordinal);
        Assert.StartsWith("2 -> pipe:", descriptors[2], StringComparison.Ordinal);
        // The folder that ls reads.
        Assert.Matches("^3 -> /proc/[0-9]+/fd$", Assert.Single(descriptors[3..]));
    }

    [Fact]
    public async Task Start_Worker_LeadsASessionAndAGroupOfItsOwn()
    {
        WorkerProcess worker = _workers.Start("cat /proc/$$/stat");
        await worker.Exited.WaitAsync(TestContext.Current.CancellationToken);

        string stat = Assert.Single(_workers.Texts);
        string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        string id = worker.Id.ToString(CultureInfo.InvariantCulture);
        Assert.Equal((id, id), (fields[2], fields[3]));
    }

    [Fact]
    public async Task Start_ServerIgnoresAndBlocksSignals_WorkerHasDefaults()
    {
        // .NET ignores SIGPIPE, and handles many.
        await _workers.RunAsync(TestWorkers.Info("grep", "Sig[BI]", "/proc/self/status"));

        // The C library keeps 32 and 33 for itself: whoever started us may have left them ignored, and no program can tell.
        Assert.Equal("SigBlk:\t0000000000000000", _workers.Texts.First());
        Assert.Equal(0UL, ulong.Parse(_workers.Texts.Last().Split('\t')[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture) & ~0x180000000UL);
    }

    [Fact]
    public async Task Start_Environment_IsTheGivenOneAndTheMark()
    {
        WorkerProcess worker = _workers.Start(TestWorkers.Info("env") with { Environment = new Dictionary<string, string> { ["A"] = "1", ["Ü"] = "ö = x" } });
        await worker.Exited.WaitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(["A=1", $"SERVE_WORKER={_workers.Guard.MarkPrefix}1", "Ü=ö = x"], _workers.Texts.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task StopAsync_WorkerObeys_EndsWithoutWaitingForTheGrace()
    {
        WorkerProcess worker = await _workers.StartedAsync("echo up; exec sleep 1000");

        await worker.StopAsync(TimeSpan.FromSeconds(20)).WaitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(new(null, 15, Stopped: true), await worker.Exited);
    }

    [Fact]
    public async Task StopAsync_WorkerIgnoresIt_IsKilledAfterTheGraceAndNotBefore()
    {
        WorkerProcess worker = await _workers.StartedAsync("trap '' TERM; echo up; while :; do sleep 1000; done");
        Task stop = worker.StopAsync(TimeSpan.FromSeconds(20));
        await _workers.Time.WhenArmedAsync(1, TestContext.Current.CancellationToken);

        _workers.Time.Advance(TimeSpan.FromSeconds(19.9));
        Assert.True(Directory.Exists($"/proc/{worker.Id}"));
        Assert.False(worker.Exited.IsCompleted);

        _workers.Time.Advance(TimeSpan.FromSeconds(0.2));
        await stop.WaitAsync(TestContext.Current.CancellationToken);

        WorkerExit exit = await worker.Exited;
        Assert.Equal(new(null, 9, Stopped: true), exit);
        Assert.Equal("signal 9 (SIGKILL)", exit.ToString());
    }

    [Fact]
    public async Task StopAsync_AgainWithoutGrace_KillsAtOnce()
    {
        WorkerProcess worker = await _workers.StartedAsync("trap '' TERM; echo up; while :; do sleep 1000; done");
        Task slow = worker.StopAsync(TimeSpan.FromSeconds(20));

        Task fast = worker.StopAsync(TimeSpan.Zero);

        await Task.WhenAll(slow, fast).WaitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(9, (await worker.Exited).Signal);
    }

    [Fact]
    public async Task StopAsync_WorkerHasEnded_Completes()
    {
        WorkerProcess worker = _workers.Start("exit 0");
        await worker.Exited.WaitAsync(TestContext.Current.CancellationToken);

        await worker.StopAsync(TimeSpan.FromSeconds(20)).WaitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(new(0, null), await worker.Exited);
    }

    [Theory]
    [InlineData("sleep 1000 & echo $!")]
    [InlineData("setsid sleep 1000 & echo $!")]
    [InlineData("(setsid sh -c 'echo $$; exec sleep 1000' &); sleep 1000")]
    public async Task StopAsync_Descendants_AreGone(string script)
    {
        WorkerProcess worker = await _workers.StartedAsync(script + "; sleep 1000");

        await worker.StopAsync(TimeSpan.FromSeconds(20)).WaitAsync(TestContext.Current.CancellationToken);

        AssertGone(_workers.Texts.First());
    }

    [Theory]
    [InlineData("sleep 1000 & echo $!")]
    [InlineData("setsid sleep 1000 & echo $!")]
    [InlineData("env -i sleep 1000 & echo $!")]
    public async Task Exited_LeaderEndsBeforeItsChildren_ChildrenAreGone(string script)
    {
        WorkerExit exit = await _workers.RunAsync(script);

        Assert.Equal(new(0, null), exit);
        AssertGone(_workers.Texts.First());
    }

    /// <summary>The server has no descriptors left, twice; the third time it has. (It was the end of the whole server.)</summary>
    [Fact]
    public async Task Exited_RemainsCannotBeLookedForYet_AreKilledOnceTheyCan()
    {
        int looks = 0;
        await using TestWorkers workers = new(killRemains: (leader, mark) =>
        {
            if (++looks < 3)
            {
                throw new IOException("Too many open files", 24);
            }

            WorkerMark.KillRemains(leader, mark);
        });
        WorkerProcess worker = await workers.StartedAsync("setsid sleep 1000 & echo $!; exec sleep 1000");

        NativeProcess.Signal(worker.Id, SignalNames.Kill);
        await workers.Time.WhenArmedAsync(1, TestContext.Current.CancellationToken);
        Assert.False(worker.Exited.IsCompleted);
        Assert.Equal('Z', ReadState($"/proc/{worker.Id}/stat"));
        Assert.Equal((EventIds.WorkerRemainsNotFound, LogLevel.Error), (workers.Logs.LatestRecord.Id.Id, workers.Logs.LatestRecord.Level));
        Assert.Contains("the server can have no more files and connections open. Raise its limit of them (ulimit -n", workers.Logs.LatestRecord.Message, StringComparison.Ordinal);

        workers.Time.Advance(TimeSpan.FromMilliseconds(100));
        await workers.Time.WhenArmedAsync(1, TestContext.Current.CancellationToken);
        workers.Time.Advance(TimeSpan.FromMilliseconds(200));

        Assert.Equal(9, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).Signal);
        AssertGone(workers.Texts.First());
        Assert.False(File.Exists($"/proc/{worker.Id}/stat"));
        Assert.Equal(1, workers.Logs.Count);
    }

    [Fact]
    public async Task Exited_RemainsCannotBeLookedForAtAll_IsToldWithoutThem()
    {
        await using TestWorkers workers = new(killRemains: static (_, _) => throw new UnauthorizedAccessException("Access to /proc is denied."));

        WorkerExit exit = await workers.RunAsync("exit 3");

        Assert.Equal(new(3, null), exit);
        Assert.Contains("cannot be looked for: Access to /proc is denied.", Assert.Single(workers.Logs.GetSnapshot()).Message, StringComparison.Ordinal);
    }

    /// <summary>It does not hang in the kernel, and nobody says so.</summary>
    [Fact]
    public async Task StopAsync_RemainsCannotBeLookedForYet_GivesUpItsWaitAndNotThem()
    {
        bool hasDescriptors = false;
        await using TestWorkers workers = new(killRemains: (leader, mark) =>
        {
            if (!Volatile.Read(ref hasDescriptors))
            {
                throw new IOException("Too many open files in system", 23);
            }

            WorkerMark.KillRemains(leader, mark);
        });
        WorkerProcess worker = await workers.StartedAsync("setsid sleep 1000 & echo $!; exec sleep 1000");

        Task stopped = worker.StopAsync(TimeSpan.FromMinutes(1));
        await workers.Time.WhenArmedAsync(2, TestContext.Current.CancellationToken);
        await workers.Time.PassUntilAsync(stopped, TimeSpan.FromMilliseconds(500), TestContext.Current.CancellationToken);
        Assert.False(worker.Exited.IsCompleted);
        Assert.Equal([EventIds.WorkerRemainsNotFound], workers.Logs.GetSnapshot().Select(static r => r.Id.Id));

        Volatile.Write(ref hasDescriptors, true);
        await workers.Time.PassUntilAsync(worker.Exited, TimeSpan.FromMilliseconds(500), TestContext.Current.CancellationToken);
        AssertGone(workers.Texts.First());
    }

    [Fact]
    public async Task SignalGroup_Number_ReachesTheGroup()
    {
        WorkerProcess worker = await _workers.StartedAsync("trap 'echo got it; exit 7' USR1; echo up; sleep 1000 & wait");

        worker.SignalGroup(10);

        Assert.Equal(7, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).ExitCode);
        Assert.Equal(["up", "got it"], _workers.Texts);
    }

    [Fact]
    public async Task ResidentBytes_WhileItRunsAndAfter_IsItsMemoryThenNull()
    {
        WorkerProcess worker = await _workers.StartedAsync("echo up; exec sleep 1000");

        Assert.InRange(worker.ResidentBytes!.Value, Environment.SystemPageSize, 100_000_000);

        await worker.StopAsync(TimeSpan.FromSeconds(20));
        Assert.Null(worker.ResidentBytes);
    }

    [Fact]
    public async Task Start_LimitsThatTheSystemRefuses_AreSaidEachAndTheOthersAreInForce()
    {
        WorkerLimits limits = new() { OpenFiles = long.MaxValue, CpuAffinity = [1023], Nice = 5 };
        WorkerProcess worker = _workers.Start(TestWorkers.Shell("ulimit -n; cut -d' ' -f19 /proc/self/stat") with { Limits = limits });
        await worker.Exited.WaitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(2, worker.Refused.Count);
        Assert.StartsWith($"max_open_files = {long.MaxValue} is refused: ", worker.Refused[0], StringComparison.Ordinal);
        Assert.StartsWith("cpu_affinity = [1023] is refused: ", worker.Refused[1], StringComparison.Ordinal);
        Assert.Equal("5", _workers.Texts.Last());
    }

    [Fact]
    public async Task Start_Limited_IsAsOneWithoutLimits()
    {
        WorkerProcess worker = _workers.Start(TestWorkers.Info("sh", "-c", "echo $$ \"$0\" \"$1\"; readlink /proc/$$/fd/0; exit 7", "a b", "$c 'd'") with { Limits = new() { Nice = 1 } });

        Assert.Equal(7, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).ExitCode);
        Assert.Equal([$"{worker.Id} a b $c 'd'", "/dev/null"], _workers.Texts);
    }

    [Fact]
    public async Task Start_Rlimits_AreInForceSoftAndHard()
    {
        WorkerLimits limits = new() { OpenFiles = 100, Rlimits = new() { CoreMb = 0, AddressSpaceMb = 4096, LockedMemoryMb = 1, Processes = 5000 } };

        await _workers.RunAsync(TestWorkers.Info("sh", "-c", "exec grep -E 'core|address|locked|processes|files' /proc/self/limits") with { Limits = limits });

        string[] inForce = [.. _workers.Texts.Select(static l => string.Join(' ', l.Split(' ', StringSplitOptions.RemoveEmptyEntries)))];
        Assert.Contains("Max core file size 0 0 bytes", inForce);
        Assert.Contains("Max address space 4294967296 4294967296 bytes", inForce);
        Assert.Contains("Max locked memory 1048576 1048576 bytes", inForce);
        Assert.Contains("Max processes 5000 5000 processes", inForce);
        Assert.Contains("Max open files 100 100 files", inForce);
    }

    [Fact]
    public async Task ErrorTail_WorkerDies_HoldsItsLastWords()
    {
        WorkerProcess worker = _workers.Start("echo out; for i in 1 2 3; do echo err $i >&2; done; printf 'no end' >&2; exit 1");
        await worker.Exited.WaitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(["err 1", "err 2", "err 3", "no end"], worker.ErrorTail);
        Assert.Equal([new("out", IsError: false)], _workers.Lines.Where(static l => !l.IsError));
    }

    [Fact]
    public async Task Start_TwoHundredTimes_LeavesNoZombieAndNoDescriptor()
    {
        await _workers.RunAsync("exit 0");
        int descriptors = OwnPipes();

        for (int round = 0; round < 20; round++)
        {
            WorkerProcess[] batch = [.. Enumerable.Range(0, 10).Select(i => _workers.Start(i % 2 == 0 ? "exit 0" : "exec sleep 1000"))];
            await Task.WhenAll(batch.Select(static w => w.StopAsync(TimeSpan.FromSeconds(20)))).WaitAsync(TestContext.Current.CancellationToken);
            Assert.All(batch, static w => Assert.False(Directory.Exists($"/proc/{w.Id}")));
        }

        // Other tests run beside this one and have workers of their own for a moment: a leak of two pipes for each of two hundred would show all the same.
        Assert.InRange(OwnPipes(), 0, descriptors + 100);
    }

    [Fact]
    public async Task Start_BesideProcessesOfTheHost_EachGetsItsOwnStatus()
    {
        List<Task> all = [];
        for (int i = 1; i <= 20; i++)
        {
            int code = i;
            all.Add(Task.Run(
                async () =>
                {
                    using Process process = Process.Start("sh", ["-c", $"exit {code}"]);
                    WorkerProcess worker = _workers.Start($"exit {code + 100}");
                    await process.WaitForExitAsync();
                    Assert.Equal(code, process.ExitCode);
                    Assert.Equal(code + 100, (await worker.Exited).ExitCode);
                },
                TestContext.Current.CancellationToken));
        }

        await Task.WhenAll(all).WaitAsync(TestContext.Current.CancellationToken);
    }

    public ValueTask DisposeAsync() => _workers.DisposeAsync();

    internal static void AssertGone(string process)
    {
        // SIGKILL was sent, and death takes an instant: what is left may be a zombie that nobody has reaped yet.
        string stat = $"/proc/{process}/stat";
        SpinWait.SpinUntil(() => !File.Exists(stat) || ReadState(stat) is 'Z' or 'X', TimeSpan.FromSeconds(10));
        Assert.True(!File.Exists(stat) || ReadState(stat) is 'Z' or 'X', $"process {process} lives");
    }

    private static char ReadState(string stat)
    {
        try
        {
            string text = File.ReadAllText(stat);
            return text[text.LastIndexOf(')') + 2];
        }
        catch (IOException)
        {
            return 'X';
        }
    }

    private static int OwnPipes() => Directory.GetFiles("/proc/self/fd").Count(static f =>
    {
        try
        {
            return File.ResolveLinkTarget(f, returnFinalTarget: false)?.Name.StartsWith("pipe:", StringComparison.Ordinal) == true;
        }
        catch (IOException)
        {
            return false;
        }
    });

    private static string TemporaryFolder() => Directory.CreateTempSubdirectory("serve-tests-").FullName;

    private static void WriteScript(string path, string script, bool execute)
    {
        File.WriteAllText(path, $"#!/bin/sh\n{script}\n");
        File.SetUnixFileMode(path, execute ? UnixFileMode.UserRead | UnixFileMode.UserExecute : UnixFileMode.UserRead);
    }

    private static void WriteExecutable(string path, string text)
    {
        File.WriteAllText(path, text);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
    }

    private string Refused(WorkerStartInfo info) => Assert.Throws<WorkerStartException>(() => _workers.Start(info)).Message;

    private void AssertRefused(WorkerStartInfo info, string message) => Assert.Equal(message, Refused(info));
}
