namespace Serve.Embedded.Tests.Telemetry;

/// <summary>An output whose reader has stopped reading: a write begins and ends only when the test lets it.</summary>
internal sealed class GatedStream : MemoryStream
{
    private readonly ManualResetEventSlim _open = new();
    private readonly TaskCompletionSource _entered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes once a write is stuck.</summary>
    public Task Stuck => _entered.Task;

    public void Release() => _open.Set();

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        _entered.TrySetResult();
        _open.Wait();
        base.Write(buffer);
    }
}
