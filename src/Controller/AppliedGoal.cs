namespace Serve.Embedded.Controller;

/// <summary>A goal that was applied, until everything has settled.</summary>
internal sealed class AppliedGoal(ApplyRequest request)
{
    public ApplyRequest Request => request;

    /// <summary>The last good goal of each application when this one was applied; <see langword="null"/> = it had none.</summary>
    public Dictionary<string, ApplicationGoal?> Before { get; } = new(StringComparer.Ordinal);

    /// <summary>Applications that go when all others have come.</summary>
    public List<string> Removed { get; } = [];

    public bool WasUndone { get; set; }

    public IReadOnlyList<string>? Failures { get; set; }
}
