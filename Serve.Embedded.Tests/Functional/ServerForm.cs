namespace Serve.Embedded.Tests.Functional;

/// <summary>The ways in which a server is reached over HTTP. What a client can see must be the same.</summary>
public enum ServerForm
{
    /// <summary>On a port of its own.</summary>
    Port,

    /// <summary>Mapped into an application of somebody else's.</summary>
    Embedded,
}
