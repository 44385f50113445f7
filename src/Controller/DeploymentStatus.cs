namespace Serve.Embedded;

/// <summary>A deployment's status, in Ray Serve's words.</summary>
public enum DeploymentStatus
{
    /// <summary>It is on its way to what is asked of it.</summary>
    Updating,

    /// <summary>It runs as asked.</summary>
    Healthy,

    /// <summary>Replicas have failed since it was healthy; others may serve.</summary>
    Unhealthy,

    /// <summary>What was asked last did not come up; what was good before serves on, if there was any.</summary>
    DeployFailed,

    /// <summary>Replicas are being added.</summary>
    Upscaling,

    /// <summary>Replicas are being taken away.</summary>
    Downscaling,
}

/// <summary>An application's status, in Ray Serve's words: as its worst deployment.</summary>
public enum ApplicationStatus
{
    /// <summary>It is on its way to what is asked of it.</summary>
    Deploying,

    /// <summary>It runs as asked.</summary>
    Running,

    /// <summary>What was asked last did not come up; what was good before serves on, if there was any.</summary>
    DeployFailed,

    /// <summary>A deployment is unhealthy.</summary>
    Unhealthy,

    /// <summary>It finishes what it has admitted and is gone then.</summary>
    Deleting,
}
