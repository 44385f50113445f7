namespace Serve.Embedded.Deployments;

/// <summary>Cancels what a handler runs.</summary>
internal static class Cancelling
{
    /// <summary>
    /// A handler may have registered what throws. That is nobody's who cancels it: on a timer's thread it would be the end of the process, and where a replica stops, of its stop. All that was registered has been called when this returns.
    /// </summary>
    public static void CancelWhateverThrows(this CancellationTokenSource source)
    {
        try
        {
            source.Cancel();
        }
        catch (AggregateException)
        {
            // As with CancelAsync, whose task nobody awaits.
        }
    }
}
