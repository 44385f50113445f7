using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Holds a worker until its limits are in force: a shell, in the worker's place, that runs its program when it is told to, and ends when the server does. Programs ask for their limits in their first instant,
/// to size their heaps and their pools of threads by them, and a process can only be limited when it is there.
/// </summary>
internal sealed class WorkerGate : IDisposable
{
    public const string Shell = "/bin/sh";

    private readonly SafePipeHandle _read;
    private readonly SafeFileHandle _write;

    public WorkerGate() => (_read, _write) = NativeProcess.CreatePipe();

    /// <summary>Where the shell is told.</summary>
    public SafePipeHandle Input => _read;

    /// <summary>What the shell is started with.</summary>
    /// <param name="path">Of the program.</param>
    /// <param name="command">The program and its arguments.</param>
    public static IReadOnlyList<string> Command(string path, IReadOnlyList<string> command) => ["sh", "-c", "read -r go && exec \"$@\" </dev/null", "sh", path, .. command.Skip(1)];

    public static WorkerStartException Refused(int error) =>
        new($"A worker with limits is started through {Shell}, which cannot be started: {Shortage.Of(error) ?? $"{Marshal.GetPInvokeErrorMessage(error)}. Install a shell there, or take its limits out"}");

    public void Open() => NativeProcess.WriteAll(_write, "go\n"u8);

    public void Dispose()
    {
        _read.Dispose();
        _write.Dispose();
    }
}
