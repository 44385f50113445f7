namespace Serve.Embedded.Hosting;

/// <summary>
/// Runs reloads one at a time. Requests that come while one runs become one more, which reads the file as it is then: none is lost
/// and none is piled up.
/// </summary>
/// <param name="reload">Reads and applies the file.</param>
/// <param name="failed">Told what a reload threw: a fault of ours, after which the next signal is as good as any.</param>
internal sealed class ReloadLoop(Func<Task> reload, Action<Exception> failed)
{
    private readonly Lock _gate = new();
    private bool _running;
    private bool _again;

    /// <summary>Asks for a reload; returns at once.</summary>
    public void Request()
    {
        lock (_gate)
        {
            if (_running)
            {
                _again = true;
                return;
            }

            _running = true;
        }

        _ = Task.Run(RunAsync);
    }

    private async Task RunAsync()
    {
        while (true)
        {
            try
            {
                await reload();
            }
#pragma warning disable CA1031 // SIGHUP must not be dead from then on.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                failed(exception);
            }

            lock (_gate)
            {
                if (!_again)
                {
                    _running = false;
                    return;
                }

                _again = false;
            }
        }
    }
}
