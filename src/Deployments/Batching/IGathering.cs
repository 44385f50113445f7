namespace Serve.Embedded.Deployments;

/// <summary>What holds requests back until others have come.</summary>
internal interface IGathering
{
    /// <summary>Nobody is sent here any more: to wait for others is in vain.</summary>
    void NobodyComes();
}
