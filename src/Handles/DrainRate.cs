namespace Serve.Embedded.Handles;

/// <summary>
/// How many requests per second leave a queue for a replica: an exponentially weighted mean (alpha 0.3) of one-second samples,
/// as Ray Serve's estimator computes it. Idle seconds do not count; seconds in which somebody waited and nobody left count as 0.
/// </summary>
internal sealed class DrainRate
{
    private const double Alpha = 0.3;
    private const int WarmSamples = 3;

    /// <summary>What the last sample was told.</summary>
    public long Drained { get; private set; }

    private bool _hasBaseline;
    private int _samples;

    /// <summary>Requests per second; meaningful once <see cref="IsWarm"/>.</summary>
    public double PerSecond { get; private set; }

    public bool IsWarm => _samples >= WarmSamples;

    /// <summary>Takes a sample, one second after the last.</summary>
    /// <param name="drained">Requests that have ever left for a replica.</param>
    /// <param name="waiting">Requests that wait now.</param>
    public void Sample(long drained, int waiting)
    {
        long left = drained - Drained;
        Drained = drained;
        if (!_hasBaseline || left < 0)
        {
            _hasBaseline = true;
            return;
        }

        if (left == 0 && waiting == 0)
        {
            return;
        }

        PerSecond = _samples == 0 ? left : PerSecond + Alpha * (left - PerSecond);
        _samples = Math.Min(_samples + 1, WarmSamples);
    }

    /// <summary>The next sample comes after a pause and only says where counting starts.</summary>
    public void Pause() => _hasBaseline = false;
}
