using System.Collections.Concurrent;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>Answers each request with its mark, and knows all that it got.</summary>
internal sealed class RecordingWorker : IAsyncDisposable
{
    private readonly ConcurrentQueue<RecordedRequest> _requests = new();
    private readonly ConcurrentQueue<string> _malformed = new();

    public RecordingWorker() => Worker = new(AnswerAsync);

    public ScriptedWorker Worker { get; }

    public IEnumerable<RecordedRequest> Requests => _requests;

    /// <summary>What could be understood in more than one way.</summary>
    public IEnumerable<string> Malformed => _malformed;

    public void Forget() => _requests.Clear();

    public ValueTask DisposeAsync() => Worker.DisposeAsync();

    private async Task AnswerAsync(WorkerSide side)
    {
        while (true)
        {
            RecordedRequest request;
            try
            {
                request = await RecordedRequest.ReadAsync(side);
            }
            catch (FormatException malformed)
            {
                _malformed.Enqueue(malformed.Message);
                return;
            }

            _requests.Enqueue(request);
            await side.SendAsync(request.Method == "HEAD"
                ? $"HTTP/1.1 200 OK\r\nX-Mark: {request.Mark}\r\n{ReceivedResponse.BodyLeftOut}: 1\r\nContent-Length: 5\r\n\r\n"
                : $"HTTP/1.1 200 OK\r\nX-Mark: {request.Mark}\r\nContent-Length: {request.Mark.Length}\r\n\r\n{request.Mark}");
        }
    }
}
