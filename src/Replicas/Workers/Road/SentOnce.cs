namespace Serve.Embedded.Replicas.Workers;

/// <summary>A feature of a request that no worker may be sent again, whatever its method: its deployment has it so, or it was sent to one before.</summary>
internal sealed class SentOnce
{
    private SentOnce()
    {
    }

    public static SentOnce Instance { get; } = new();
}
