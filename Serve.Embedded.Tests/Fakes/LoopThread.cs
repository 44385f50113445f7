using System.Net.Sockets;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Fakes;

/// <summary>Runs something of a test in a turn of an event loop, and nothing else: a test that went on there would keep the loop from all other tests, and so would the next test.</summary>
internal static class LoopThread
{
    /// <summary>Waits for what a loop completes, and goes on in the thread pool.</summary>
    public static async Task<T> ElsewhereAsync<T>(ValueTask<T> task)
    {
        try
        {
            return await task;
        }
        finally
        {
            await Task.Yield();
        }
    }

    public static async Task RunAsync(EventLoop loop, Action act)
    {
        using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        ReadSignal signal = new(continuesHere: true);
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _ = ActAsync();

        // A socket that was never connected is told of at once, as one whose other side has hung up.
        ulong registration = loop.Add(socket, signal);
        await done.Task;
        loop.Remove(registration);

        async Task ActAsync()
        {
            await signal.WaitAsync().ConfigureAwait(false);
            try
            {
                act();
                done.SetResult();
            }
            catch (Exception exception)
            {
                done.SetException(exception);
            }
        }
    }
}
