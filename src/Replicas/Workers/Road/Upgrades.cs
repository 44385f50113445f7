using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Which upgrades of a connection a client is let offer to a worker.</summary>
internal static class Upgrades
{
    /// <summary>The way to upgrade, if the client asks for it. Never to HTTP/2, through which requests would pass that nobody here has seen.</summary>
    public static IHttpUpgradeFeature? Offered(IFeatureCollection features, IHeaderDictionary headers) =>
        headers.Upgrade.Count > 0 &&
        !HopByHop.IsNamed(headers.Upgrade, "h2c") &&
        features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true } upgrade
            ? upgrade
            : null;
}
