namespace Serve.Embedded.Telemetry;

/// <summary>The logger categories of the product; they decide which component a line is attributed to.</summary>
internal static class LogCategories
{
    public const string Proxy = "Serve.Proxy";

    /// <summary>The proxy's access log: a category of its own, so that a host application can filter it.</summary>
    public const string AccessLog = "Serve.Proxy.Access";

    public const string Controller = "Serve.Controller";

    public const string Replica = "Serve.Replica";

    /// <summary>Everything else of ours: start, signals, shutdown.</summary>
    public const string Server = "Serve.Server";
}
