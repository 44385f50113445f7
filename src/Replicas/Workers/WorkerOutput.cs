using System.IO.Pipes;
using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Drains a worker's stdout and stderr: always and at once, whatever becomes of the lines, so that the worker never waits for its log. The last lines of stderr are kept
/// whatever the log takes, since they say why a worker died; where a flood has left them out, they are told when it has ended.
/// </summary>
internal sealed class WorkerOutput : IDisposable
{
    public const int MostLinesPerSecond = 1000;

    private readonly CancellationTokenSource _cut = new();
    private readonly ReplicaLog _errors = new();
    private readonly Action<WorkerLine> _onLine;
    private readonly LineRate _rate;
    private int _errorsLeftOut;

    /// <summary>Begins to read. <paramref name="onLine"/> is called by one thread for each of the two streams, and by a timer; it must not block.</summary>
    public WorkerOutput(SafePipeHandle output, SafePipeHandle error, TimeProvider time, Action<WorkerLine> onLine)
    {
        _onLine = onLine;
        _rate = new(time, MostLinesPerSecond, leftOut => Tell(new($"{leftOut} more lines of this worker were left out: at most {MostLinesPerSecond} are taken in a second", IsError: true, IsNotice: true, LogLevel.Warning)));
        Ended = Task.WhenAll(DrainAsync(output, line => Take(LinePriority.TakeFrom(ref line), line, isError: false)), DrainAsync(error, TakeError));
    }

    /// <summary>Both pipes have been closed by all who held them, or were cut off.</summary>
    public Task Ended { get; }

    /// <summary>The last lines of stderr.</summary>
    public IReadOnlyList<string> ErrorTail => _errors.Tail;

    /// <summary>Stops reading, though somebody holds a pipe still.</summary>
    public void Cut() => _cut.Cancel();

    /// <summary>Tells what the rate has kept back. Called when the streams have ended.</summary>
    public void Dispose()
    {
        _rate.Dispose();
        _cut.Dispose();
        IReadOnlyList<string> lastWords = ErrorTail;
        lastWords = [.. lastWords.Skip(lastWords.Count - _errorsLeftOut)];
        if (lastWords.Count > 0)
        {
            Tell(new($"The last {lastWords.Count} of these lines, from its stderr:", IsError: true, IsNotice: true));
        }

        foreach (string line in lastWords)
        {
            Tell(new(line, IsError: true));
        }
    }

    private void TakeError(string line)
    {
        LogLevel level = LinePriority.TakeFrom(ref line);
        _errors.Add(line);
        _errorsLeftOut = Take(level, line, isError: true) ? 0 : _errorsLeftOut + 1;
    }

    private bool Take(LogLevel level, string line, bool isError)
    {
        bool passes = _rate.Pass();
        if (passes)
        {
            Tell(new(line, isError, Level: level));
        }

        return passes;
    }

    private void Tell(WorkerLine line)
    {
        try
        {
            _onLine(line);
        }
#pragma warning disable CA1031 // Whoever takes the lines may be in trouble: the worker must not stand still for that, and its end must be told.
        catch (Exception)
#pragma warning restore CA1031
        {
        }
    }

    private async Task DrainAsync(SafePipeHandle handle, Action<string> onLine)
    {
        // Not on the thread that starts the worker.
        await Task.Yield();
        LineSplitter lines = new(onLine);
        await using AnonymousPipeClientStream pipe = new(PipeDirection.In, handle);
        try
        {
            while (await pipe.ReadAsync(lines.Free, _cut.Token) is > 0 and int count)
            {
                lines.Advance(count);
            }
        }
        catch (OperationCanceledException)
        {
            // Cut: what was read is all there is.
        }

        lines.Complete();
    }
}
