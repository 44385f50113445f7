using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

public sealed class WorkerConnectionsTests
{
    /// <summary>A request that waited for its permit goes on on the loop that gave it, and takes a connection from there with it to its own: no turn ends before it is sent.</summary>
    [Fact]
    public async Task Send_WorkerSpokeOnAConnectionOfTheThreadsLoop_RequestOfAnotherUsesAnother()
    {
        TaskCompletionSource<WorkerSide> kept = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ScriptedWorker worker = new(async side =>
        {
            if (side.Index == 0)
            {
                kept.SetResult(side);
                await side.ClosedAsync();
                return;
            }

            await side.ReadHeadAsync();
            await side.AnswerAsync("right");
            await side.ClosedAsync();
        });
        EventLoops loops = new(count: 2, continuesHere: true);
        using WorkerConnections connections = new(worker.EndPoint, new ManualTimeProvider(), loops);
        EventLoop here = loops.Emptiest;
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(worker.EndPoint, TestServer.Deadline);
        WorkerConnection connection = new(socket, here);
        WorkerSide side = await kept.Task;
        Client client = new(loops.Emptiest);
        Assert.NotSame(here, client.Loop);

        Task? sending = null;
        await LoopThread.RunAsync(here, () =>
        {
            side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").Wait();
            connections.GiveBack(connection, canCarryAnother: true);
            sending = connections.SendAsync(client, TestServer.Deadline).AsTask();
        });
        await sending!;

        Assert.EndsWith("\r\n\r\nright", client.Response);
    }

    private sealed class Client : IPlainClient
    {
        private readonly Pipe _pipe = new();

        public Client(EventLoop loop)
        {
            Loop = loop;
            Assert.True(Request.TryRead("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"u8, out _));
        }

        public PlainRequest Request { get; } = new();

        public ReadOnlySequence<byte> Body => default;

        public string? Prefix => null;

        public string RequestId => "id";

        public bool MayBeSentAgain => Request.IsIdempotent;

        public DateTimeOffset Now => default;

        public ReadOnlySpan<byte> Address => "9.8.7.6"u8;

        public EventLoop Loop { get; }

        public PipeWriter Output => _pipe.Writer;

        public string Response
        {
            get
            {
                _pipe.Writer.Complete();
                return _pipe.Reader.TryRead(out ReadResult read) ? Encoding.Latin1.GetString(read.Buffer) : "";
            }
        }

        public bool ResponseBegins(int statusCode, bool isStreamed) => false;

        public async ValueTask FlushAsync() => await Output.FlushAsync();
    }
}
