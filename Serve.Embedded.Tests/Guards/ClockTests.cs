using System.Text.RegularExpressions;

namespace Serve.Embedded.Tests.Guards;

/// <summary>Time comes from the injected clock, in the product and in its tests.</summary>
public sealed partial class ClockTests
{
    [Fact]
    public void Product_NeverReadsOrWaitsForTheRealClock() => Assert.Empty(Matches("src", ReadsOrWaits()));

    /// <summary>A test may measure how long something took; it may not wait and hope.</summary>
    [Fact]
    public void Tests_NeverWaitForTheRealClock() => Assert.Empty(Matches("Serve.Embedded.Tests", Waits()));

    private static IEnumerable<string> Matches(string folder, Regex regex) => Repository.Sources(folder)
        .Where(f => !f.EndsWith("/ClockTests.cs", StringComparison.Ordinal))
        .SelectMany(f => regex.Matches(Repository.Read(f)).Select(m => $"{f}: {m.Value}"));

    [GeneratedRegex(@"Thread\.Sleep|Task\.Delay\([^,()]*(\([^()]*\))?[^,()]*\)|DateTime(Offset)?\.(Utc)?Now|\bStopwatch\b|Environment\.TickCount")]
    private static partial Regex ReadsOrWaits();

    [GeneratedRegex(@"Thread\.Sleep|Task\.Delay\([^,()]*(\([^()]*\))?[^,()]*\)|DateTime(Offset)?\.(Utc)?Now")]
    private static partial Regex Waits();
}
