namespace Serve.Embedded.Replicas.Workers;

/// <summary>Bytes on their way to a worker: grows as needed, and is used again for the next request of its connection.</summary>
internal sealed class WireBuffer(int capacity)
{
    /// <summary>A buffer that one large request made larger than this is not kept.</summary>
    private const int LargestKept = 64 * 1024;

    private readonly int _capacity = capacity;
    private byte[] _bytes = new byte[capacity];

    public int Length { get; private set; }

    public ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, Length);

    public Span<byte> WrittenSpan => _bytes.AsSpan(0, Length);

    public void Clear()
    {
        Length = 0;
        if (_bytes.Length > LargestKept)
        {
            _bytes = new byte[_capacity];
        }
    }

    public Span<byte> GetSpan(int length)
    {
        if (_bytes.Length - Length < length)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, Length + length));
        }

        return _bytes.AsSpan(Length);
    }

    public void Advance(int count) => Length += count;

    public void Write(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(GetSpan(bytes.Length));
        Length += bytes.Length;
    }

    /// <summary>ASCII as it is; anything else as the server has read it.</summary>
    public void Write(ReadOnlySpan<char> text) => Length += HeaderEncoding.Instance.GetBytes(text, GetSpan(text.Length * 3));

    public void Write<T>(T value, ReadOnlySpan<char> format = default)
        where T : IUtf8SpanFormattable
    {
        int written;
        int room = 32;
        while (!value.TryFormat(GetSpan(room), out written, format, null))
        {
            room *= 2;
        }

        Length += written;
    }
}
