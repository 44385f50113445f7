using System.Globalization;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Handles;

/// <summary>One call's timeout, and its caller's token with it.</summary>
internal sealed class CallTime : IDisposable
{
    private readonly CancellationTokenSource _source;
    private readonly CancellationTokenRegistration _caller;
    private readonly ITimer _timer;
    private readonly TimeSpan _timeout;
    private readonly string _deployment;
    private int _isOver;

    public CallTime(TimeSpan timeout, string deployment, TimeProvider time, CancellationToken caller)
    {
        _timeout = timeout;
        _deployment = deployment;
        _source = new();
        _caller = caller.UnsafeRegister(static source => ((CancellationTokenSource)source!).CancelWhateverThrows(), _source);
        _timer = time.CreateTimer(
            static state =>
            {
                CallTime self = (CallTime)state!;
                Volatile.Write(ref self._isOver, 1);
                self._source.CancelWhateverThrows();
            },
            this,
            timeout,
            Timeout.InfiniteTimeSpan);
    }

    public CancellationToken Token => _source.Token;

    public bool IsOver => Volatile.Read(ref _isOver) != 0;

    public TimeoutException ToException() => new(string.Create(
        CultureInfo.InvariantCulture, $"The call of deployment '{_deployment}' did not end within its timeout of {_timeout.TotalSeconds:0.######} s."));

    public void Dispose()
    {
        _timer.Dispose();
        _caller.Dispose();
    }
}
