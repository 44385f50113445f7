namespace Serve.Embedded.Cli;

/// <summary>How long who asks a server for a change waits for it: until it is done, until the time is over, or until Ctrl+C. The server goes on without them, which is said then.</summary>
internal sealed class ChangePatience : IDisposable
{
    /// <summary>A file of Python is imported for up to a minute, and the changes of others go first.</summary>
    public static readonly TimeSpan Usual = TimeSpan.FromSeconds(600);

    /// <summary>After this long somebody wonders what it waits for.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(3);

    /// <summary>A timer takes no more.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromDays(49);

    private readonly CliContext _context;
    private readonly CancellationTokenSource _over;
    private readonly IDisposable _keys;
    private volatile bool _isInterrupted;

    public ChangePatience(CliContext context, TimeSpan atMost)
    {
        AtMost = atMost;
        _context = context;
        _over = new(atMost < Longest ? atMost : Longest, context.Time);
        _keys = context.OnInterrupt(Interrupt);
    }

    public TimeSpan AtMost { get; }

    /// <summary>The time is over, or Ctrl+C was pressed.</summary>
    public CancellationToken Over => _over.Token;

    public bool IsInterrupted => _isInterrupted;

    /// <summary>Waits for an answer, and tells who is there where that takes long.</summary>
    public async Task<T> TellAsync<T>(Task<T> answer, string waitsFor)
    {
        using CancellationTokenSource answered = new();
        if (_context.IsWatched && await Task.WhenAny(answer, Task.Delay(Silence, _context.Time, answered.Token)) != answer)
        {
            await _context.Error.WriteLineAsync(waitsFor);
        }

        await answered.CancelAsync();
        return await answer;
    }

    /// <summary>Whether somebody is there who has heard nothing since then.</summary>
    public bool IsSilentSince(long timestamp) => _context.IsWatched && _context.Time.GetElapsedTime(timestamp) > Silence;

    public void Dispose()
    {
        _keys.Dispose();
        _over.Dispose();
    }

    private void Interrupt()
    {
        _isInterrupted = true;
        try
        {
            _over.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The answer was a moment faster.
        }
    }
}

/// <summary>Ctrl+C was pressed while the server worked, in words for who pressed it. Exit code 130.</summary>
internal sealed class InterruptedException(string message) : Exception(message);
