using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Handles;

/// <summary>The counts of handles that are gone, so that a deployment's totals do not fall when one of its callers goes. The gate's lock guards it.</summary>
internal sealed class FormerHandles
{
    /// <summary>Of these, something still runs: it counts where it began.</summary>
    private readonly List<HandleCounts> _working = [];
    private RequestTotals _ended;

    public RequestTotals Totals => _working.Aggregate(_ended, static (sum, counts) => sum + counts.Totals);

    public void Add(HandleCounts counts)
    {
        _working.Add(counts);
        for (int i = _working.Count - 1; i >= 0; i--)
        {
            if (_working[i].Totals is { AllEnded: true } totals)
            {
                _ended += totals;
                _working.RemoveAt(i);
            }
        }
    }
}
