namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// What was read of a request's body, for as long as it is small: with it the same request can be sent again, to this worker or another. After a failed
/// try it waits among the request's features for the next.
/// </summary>
internal sealed class KeptBody
{
    public const int Largest = 64 * 1024;

    private byte[] _bytes = [];
    private int _length;

    /// <summary>Everything that was read is here.</summary>
    public bool IsWhole { get; private set; } = true;

    /// <summary>Nothing is left to read.</summary>
    public bool HasEnded { get; set; }

    public ReadOnlyMemory<byte> Bytes => _bytes.AsMemory(0, _length);

    public void Add(ReadOnlySpan<byte> bytes)
    {
        if (!IsWhole || _length + bytes.Length > Largest)
        {
            IsWhole = false;
            _bytes = [];
            _length = 0;
            return;
        }

        if (_bytes.Length < _length + bytes.Length)
        {
            Array.Resize(ref _bytes, Math.Min(Largest, Math.Max(_bytes.Length * 2, _length + bytes.Length)));
        }

        bytes.CopyTo(_bytes.AsSpan(_length));
        _length += bytes.Length;
    }
}
