using System.IO.Pipes;
using Microsoft.Win32.SafeHandles;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Drains a worker's stdout and stderr: always and at once, whatever becomes of the lines, so that the worker never waits for its log. The last lines of stderr are kept
/// even where the log leaves them out, since they say why a worker died.
/// </summary>
internal sealed class WorkerOutput : IDisposable
{
    public const int MostLinesPerSecond = 1000;

    private readonly CancellationTokenSource _cut = new();
    private readonly ReplicaLog _errors = new();
    private readonly Action<WorkerLine> _onLine;
    private readonly LineRate _rate;

    /// <summary>Begins to read. <paramref name="onLine"/> is called by one thread for each of the two streams, and by a timer; it must not block.</summary>
    public WorkerOutput(SafePipeHandle output, SafePipeHandle error, TimeProvider time, Action<WorkerLine> onLine)
    {
        _onLine = onLine;
        _rate = new(time, MostLinesPerSecond, leftOut => onLine(new($"{leftOut} more lines of this worker were left out: at most {MostLinesPerSecond} are taken in a second", IsError: true, IsNotice: true)));
        Ended = Task.WhenAll(DrainAsync(output, line => Take(line, isError: false)), DrainAsync(error, TakeError));
    }

    /// <summary>Both pipes have been closed by all who held them, or were cut off.</summary>
    public Task Ended { get; }

    /// <summary>The last lines of stderr.</summary>
    public IReadOnlyList<string> ErrorTail => _errors.Tail;

    /// <summary>Stops reading, though somebody holds a pipe still.</summary>
    public void Cut() => _cut.Cancel();

    public void Dispose()
    {
        _rate.Dispose();
        _cut.Dispose();
    }

    private void TakeError(string line)
    {
        _errors.Add(line);
        Take(line, isError: true);
    }

    private void Take(string line, bool isError)
    {
        if (_rate.Pass())
        {
            _onLine(new(line, isError));
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
