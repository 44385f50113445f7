namespace Serve.Embedded.Config;

/// <summary>What it takes for a changed key to be in force; ordered by how much it takes.</summary>
internal enum UpdateKind
{
    /// <summary>In force with the reload; no replica is touched.</summary>
    Live,

    /// <summary>Running replicas are told the new value, in place.</summary>
    Reconfigure,

    /// <summary>The server replaces the application's replicas, without losing a request.</summary>
    Replace,

    /// <summary>Not before the server itself is started again; a reload reports the key and goes on with the old value.</summary>
    Restart,
}
