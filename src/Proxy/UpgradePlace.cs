using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Proxy;

/// <summary>What an exchange knows of its request's upgraded connection: the place that it has where <c>max_websockets</c> bounds them, and whether the connection is upgraded.</summary>
internal struct UpgradePlace
{
    private UpgradeLease? _lease;

    /// <summary>The connection is the handler's.</summary>
    public bool IsUpgraded { get; private set; }

    /// <summary>How many upgraded connections each replica may have, if the request asks for one and they are bounded.</summary>
    public static int? LimitOf(ServedDeployment deployment, IFeatureCollection features, IHeaderDictionary headers) =>
        deployment.Limits.MaxWebsockets is { } limit && !deployment.Definition.Blocks && UpgradeOffer.IsIn(features, headers) ? limit : null;

    /// <summary>Takes a place beside the permit, which may become another replica's.</summary>
    public bool TryTake(ref RequestLease lease, int limit)
    {
        _lease = UpgradeLease.TryTake(lease, limit);
        if (_lease is null)
        {
            return false;
        }

        lease = _lease.Lease;
        return true;
    }

    /// <summary>The connection is the handler's now. Where upgraded connections are counted by themselves, it needs no permit.</summary>
    public void Upgraded()
    {
        IsUpgraded = true;
        _lease?.Upgraded();
    }

    /// <summary>The work has ended, and what it held comes back.</summary>
    public void End(RequestLease lease, RequestEnd end)
    {
        if (_lease is { } place)
        {
            _lease = null;
            place.End(end);
        }
        else
        {
            lease.End(end);
        }
    }

    /// <summary>The request goes on elsewhere: its permit is still its own.</summary>
    public void GiveBack()
    {
        _lease?.GivePlaceBack();
        _lease = null;
    }

    /// <summary>For the connection's next request.</summary>
    public void Reset() => IsUpgraded = false;
}
