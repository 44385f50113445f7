using System.Text.RegularExpressions;

namespace Serve.Embedded.Tests.Guards;

/// <summary>Time comes from the injected clock, in the product and in its tests.</summary>
public sealed partial class ClockTests
{
    [Theory]
    [InlineData("src")]
    [InlineData("Serve.Embedded.Tests")]
    public void Sources_NeverReadOrWaitForTheRealClock(string folder)
    {
        IEnumerable<string> wrong = Repository.Sources(folder)
            .Where(f => !f.EndsWith("/ClockTests.cs", StringComparison.Ordinal))
            .SelectMany(f => RealClock().Matches(Repository.Read(f)).Select(m => $"{f}: {m.Value}"));

        Assert.Empty(wrong);
    }

    [GeneratedRegex(@"Thread\.Sleep|Task\.Delay\([^,()]*(\([^()]*\))?[^,()]*\)|DateTime(Offset)?\.(Utc)?Now|\bStopwatch\b|Environment\.TickCount")]
    private static partial Regex RealClock();
}
