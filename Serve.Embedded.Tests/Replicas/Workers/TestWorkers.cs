using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Replicas.Workers;

/// <summary>Real worker processes, most of them shells, beside a clock that the test owns.</summary>
internal sealed class TestWorkers : IAsyncDisposable
{
    /// <param name="groups">Control groups; <see langword="null"/> = there are none.</param>
    /// <param name="killRemains">Kills what is left of a worker; <see langword="null"/> = as it is really done.</param>
    /// <param name="shell">What the guard is; <see langword="null"/> = the usual shell.</param>
    public TestWorkers(WorkerGroups? groups = null, Action<int, string>? killRemains = null, string? shell = null) =>
        Guard = new(Time, new FakeLogger(Logs), groups ?? new(own: null, "this is a test")) { KillRemains = killRemains ?? WorkerMark.KillRemains, Shell = shell ?? "/bin/sh" };

    public ManualTimeProvider Time { get; } = new();

    public FakeLogCollector Logs { get; } = FakeLogCollector.Create(new());

    public WorkerGuard Guard { get; }

    public ConcurrentQueue<WorkerLine> Lines { get; } = new();

    public IEnumerable<string> Texts => Lines.Select(static l => l.Text);

    public static WorkerStartInfo Info(params string[] command) => new()
    {
        Command = command,
        WorkingDirectory = "/",
        Environment = new Dictionary<string, string> { ["PATH"] = "/usr/local/bin:/usr/bin:/bin" },
    };

    public static WorkerStartInfo Shell(string script) => Info("sh", "-c", script);

    public WorkerProcess Start(WorkerStartInfo info, Action<WorkerLine>? onLine = null) => WorkerProcess.Start(
        info,
        Guard,
        line =>
        {
            Lines.Enqueue(line);
            onLine?.Invoke(line);
        });

    public WorkerProcess Start(string script, Action<WorkerLine>? onLine = null) => Start(Shell(script), onLine);

    public async Task<WorkerExit> RunAsync(WorkerStartInfo info) => await Start(info).Exited.WaitAsync(TestContext.Current.CancellationToken);

    public Task<WorkerExit> RunAsync(string script) => RunAsync(Shell(script));

    /// <summary>A worker that has written a line, so that its program runs and its traps are set.</summary>
    public Task<WorkerProcess> StartedAsync(string script) => StartedAsync(Shell(script));

    public async Task<WorkerProcess> StartedAsync(WorkerStartInfo info)
    {
        TaskCompletionSource wrote = new(TaskCreationOptions.RunContinuationsAsynchronously);
        WorkerProcess worker = Start(info, _ => wrote.TrySetResult());
        await wrote.Task.WaitAsync(TestContext.Current.CancellationToken);
        return worker;
    }

    public ValueTask DisposeAsync() => Guard.DisposeAsync();
}
