using System.Buffers;

namespace Serve.Embedded.Proxy;

/// <summary>Where Kestrel takes memory for connections from: the shared pool, which gives nothing to one who names no size, where Kestrel expects a block.</summary>
internal sealed class ConnectionMemory : MemoryPool<byte>
{
    private const int Block = 4 * 1024;

    public static ConnectionMemory Pool { get; } = new();

    public override int MaxBufferSize => Shared.MaxBufferSize;

    public override IMemoryOwner<byte> Rent(int minBufferSize = -1) => Shared.Rent(Math.Max(minBufferSize, Block));

    protected override void Dispose(bool disposing)
    {
    }
}
