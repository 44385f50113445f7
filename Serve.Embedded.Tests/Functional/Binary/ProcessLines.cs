namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>What a process writes, line by line: what tests wait for.</summary>
internal sealed class ProcessLines
{
    private readonly Lock _gate = new();
    private readonly List<string> _lines = [];
    private TaskCompletionSource _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _ended;

    /// <param name="outputs">Read to their ends.</param>
    public ProcessLines(params StreamReader[] outputs) => Ended = ReadAsync(outputs);

    /// <summary>All that was written is here.</summary>
    public Task Ended { get; }

    public IReadOnlyList<string> All
    {
        get
        {
            lock (_gate)
            {
                return [.. _lines];
            }
        }
    }

    /// <summary>The first line, from line number <paramref name="from"/> on, that contains the text, once it is written.</summary>
    public async Task<string> LineAsync(string text, int from, CancellationToken deadline)
    {
        while (true)
        {
            Task more;
            lock (_gate)
            {
                if (_lines.Skip(from).FirstOrDefault(l => l.Contains(text, StringComparison.Ordinal)) is { } line)
                {
                    return line;
                }

                if (_ended)
                {
                    throw new InvalidOperationException($"The output ended without '{text}'. It was:\n{string.Join('\n', _lines)}");
                }

                more = _more.Task;
            }

            try
            {
                await more.WaitAsync(deadline);
            }
            catch (OperationCanceledException)
            {
                throw new TimeoutException($"The output has no '{text}'. It is:\n{string.Join('\n', All)}");
            }
        }
    }

    private async Task ReadAsync(StreamReader[] outputs)
    {
        await Task.WhenAll(outputs.Select(ReadAsync));
        Add(null);
    }

    private async Task ReadAsync(StreamReader output)
    {
        while (await output.ReadLineAsync(CancellationToken.None) is { } line)
        {
            Add(line);
        }
    }

    private void Add(string? line)
    {
        TaskCompletionSource more;
        lock (_gate)
        {
            if (line is null)
            {
                _ended = true;
            }
            else
            {
                _lines.Add(line);
            }

            more = _more;
            _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        more.SetResult();
    }
}
