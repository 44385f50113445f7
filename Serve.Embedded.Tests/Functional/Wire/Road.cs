namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>The roads on which a request goes to a worker: a test of both says what it adds to a request's headers.</summary>
internal static class Road
{
    /// <summary>By which a request is none for the plain road, and nothing else about it changes.</summary>
    public const string Long = "x-session-id: a\r\n";

    /// <summary>Nothing: what is plain stays so.</summary>
    public const string Plain = "";
}
