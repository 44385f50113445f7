namespace Serve.Embedded.Handles;

/// <summary>The decision on one arrival.</summary>
internal enum AdmissionKind
{
    /// <summary>A permit was free.</summary>
    Run,

    /// <summary>It has a place in the queue.</summary>
    Wait,

    /// <summary>The queue is full.</summary>
    Refused,

    /// <summary>The deployment has failed or is going away.</summary>
    Unavailable,
}

/// <summary>The decision on one arrival, with what it gives: a lease, a waiter, or how many were waiting.</summary>
internal readonly struct Admission
{
    private Admission(AdmissionKind kind, RequestLease lease, Waiter? waiter, int queued)
    {
        Kind = kind;
        Lease = lease;
        Waiter = waiter;
        Queued = queued;
    }

    public static Admission Unavailable => new(AdmissionKind.Unavailable, default, null, 0);

    public AdmissionKind Kind { get; }

    /// <summary>When <see cref="AdmissionKind.Run"/>.</summary>
    public RequestLease Lease { get; }

    /// <summary>When <see cref="AdmissionKind.Wait"/>.</summary>
    public Waiter? Waiter { get; }

    /// <summary>How many waited, when <see cref="AdmissionKind.Refused"/>.</summary>
    public int Queued { get; }

    public static Admission Run(RequestLease lease) => new(AdmissionKind.Run, lease, null, 0);

    public static Admission Wait(Waiter waiter) => new(AdmissionKind.Wait, default, waiter, 0);

    public static Admission Refuse(int queued) => new(AdmissionKind.Refused, default, null, queued);
}
