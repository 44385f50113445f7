namespace Serve.Embedded.Hosting;

/// <summary>
/// Runs reloads one at a time. Requests that come while one runs become one more, which reads the file as it is then: none is lost
/// and none is piled up.
/// </summary>
internal sealed class ReloadLoop(Func<Task> reload)
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
            await reload();
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
