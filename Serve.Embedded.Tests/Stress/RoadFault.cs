namespace Serve.Embedded.Tests.Stress;

/// <summary>What is broken on purpose, to see that the checker finds it.</summary>
internal enum RoadFault
{
    None,

    /// <summary>What a client sees if a worker's connection is used again before the response on it was read to its end.</summary>
    GivesAConnectionBackTooEarly,

    /// <summary>A permit comes back that is still in use.</summary>
    GivesAPermitBackTwice,

    /// <summary>A permit never comes back.</summary>
    LosesAPermit,

    /// <summary>One more waits than may.</summary>
    QueueOneTooLong,

    /// <summary>A request runs for as long as its client waits.</summary>
    NeverEnds,

    /// <summary>A request that may not be repeated runs twice.</summary>
    RunsTwice,

    /// <summary>A request is counted that nobody sent.</summary>
    CountsOneTooMany,
}
