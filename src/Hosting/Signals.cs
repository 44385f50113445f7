using System.Runtime.InteropServices;

namespace Serve.Embedded.Hosting;

/// <summary>
/// SIGHUP asks for a reload; SIGTERM or SIGINT asks for the end, a second one ends the process at once. Registered before anything listens, so that no signal
/// meets the default, which is to die.
/// </summary>
internal sealed class Signals : IDisposable
{
    private readonly PosixSignalRegistration[] _registrations;
    private readonly Action _reload;
    private readonly Action<string> _stop;
    private readonly Action<int> _exit;
    private int _stops;

    /// <param name="reload">Called on every SIGHUP.</param>
    /// <param name="stop">Called once, with the signal's name.</param>
    /// <param name="exit">Ends the process with this exit code.</param>
    public Signals(Action reload, Action<string> stop, Action<int> exit)
    {
        _reload = reload;
        _stop = stop;
        _exit = exit;
        SignalDispositions.Set();
        _registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGHUP, Reload),
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop),
            PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop),
        ];
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }
    }

    private void Reload(PosixSignalContext context)
    {
        context.Cancel = true;
        _reload();
    }

    private void Stop(PosixSignalContext context)
    {
        context.Cancel = true;
        if (Interlocked.Increment(ref _stops) == 1)
        {
            _stop(context.Signal.ToString());
        }
        else
        {
            // As a shell reports a process that a signal has ended.
            _exit(128 + (context.Signal == PosixSignal.SIGINT ? 2 : 15));
        }
    }
}
