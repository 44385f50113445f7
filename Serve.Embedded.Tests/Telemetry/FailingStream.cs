namespace Serve.Embedded.Tests.Telemetry;

/// <summary>A full disk that gets room again: the first writes throw.</summary>
internal sealed class FailingStream(int failures) : MemoryStream
{
    private readonly TaskCompletionSource _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _left = failures;

    public Task Failed => _failed.Task;

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (_left-- > 0)
        {
            _failed.TrySetResult();
            throw new IOException("No space left on device");
        }

        base.Write(buffer);
    }
}
