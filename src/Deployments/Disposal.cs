namespace Serve.Embedded.Deployments;

/// <summary>Disposes of what a user has made, whichever of the two ways it has, or none.</summary>
internal static class Disposal
{
    public static async ValueTask OfAsync(object? made)
    {
        switch (made)
        {
            case IAsyncDisposable asynchronous:
                await asynchronous.DisposeAsync();
                break;
            case IDisposable synchronous:
                synchronous.Dispose();
                break;
        }
    }
}
