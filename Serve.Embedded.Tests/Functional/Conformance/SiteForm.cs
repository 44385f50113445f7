namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>The ways in which the server is used. What a client can see must be the same in all.</summary>
public enum SiteForm
{
    /// <summary>A server of its own in this process.</summary>
    Port,

    /// <summary>Mapped into an application of somebody else's.</summary>
    Embedded,

    /// <summary>A published native executable, which is another process.</summary>
    Binary,
}
