using System.Net.Sockets;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Carries an upgraded connection's bytes both ways until one side ends; then both have ended.</summary>
internal static class Tunnel
{
    private const int BufferSize = 16 * 1024;

    public static async Task RunAsync(Stream client, WorkerConnection worker, CancellationToken cancellationToken)
    {
        using CancellationTokenSource end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task up = CopyUpAsync(client, worker, end.Token);
        Task down = CopyDownAsync(worker, client, end.Token);
        await Task.WhenAny(up, down);
        worker.Abort();
        await end.CancelAsync();
        await Task.WhenAll(up, down);
    }

    private static async Task CopyUpAsync(Stream client, WorkerConnection worker, CancellationToken cancellationToken)
    {
        try
        {
            byte[] buffer = new byte[BufferSize];
            int count;
            while ((count = await client.ReadAsync(buffer, cancellationToken)) > 0)
            {
                await worker.SendAsync(buffer.AsMemory(0, count));
            }
        }
        catch (Exception exception) when (IsEnd(exception))
        {
        }
    }

    private static async Task CopyDownAsync(WorkerConnection worker, Stream client, CancellationToken cancellationToken)
    {
        try
        {
            do
            {
                if (!worker.Unread.IsEmpty)
                {
                    await client.WriteAsync(worker.Unread, cancellationToken);
                    await client.FlushAsync(cancellationToken);
                    worker.Consume(worker.Unread.Length);
                }
            }
            while (await worker.ReceiveAsync() > 0);
        }
        catch (Exception exception) when (IsEnd(exception))
        {
        }
    }

    private static bool IsEnd(Exception exception) => exception is IOException or SocketException or ObjectDisposedException or OperationCanceledException;
}
