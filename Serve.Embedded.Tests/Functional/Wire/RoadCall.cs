using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>A request at a worker, which the test answers.</summary>
/// <param name="worker">Which of the site's workers has it, from 0.</param>
/// <param name="side">The worker's end of its connection.</param>
/// <param name="head">Its line and headers.</param>
internal sealed class RoadCall(int worker, WorkerSide side, string head) : IDisposable
{
    private readonly TaskCompletionSource<bool> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public int Worker => worker;

    public WorkerSide Side => side;

    public string Head => head;

    /// <summary>Whose request it is, if the site has sent it.</summary>
    public RawConnection Client { get; set; } = null!;

    /// <summary>Whether the worker's connection goes on.</summary>
    public Task<bool> Done => _done.Task;

    public async Task AnswerAsync(string body)
    {
        await side.AnswerAsync(body);
        _done.SetResult(true);
    }

    /// <summary>Answers, and sees the answer come.</summary>
    /// <returns>All that came.</returns>
    public async Task<string> EndAsync(string body)
    {
        await AnswerAsync(body);
        return await Client.ReadUntilAsync(body);
    }

    /// <summary>The worker closes the connection.</summary>
    public void Close() => _done.SetResult(false);

    public void Dispose() => Client?.Dispose();
}
