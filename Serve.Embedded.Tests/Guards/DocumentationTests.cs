using System.Reflection;
using System.Text.RegularExpressions;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Guards;

/// <summary>Notes beside code rot silently: every type that a document names must exist, and so must every file it links to.</summary>
public sealed partial class DocumentationTests
{
    public static TheoryData<string> Documents => new(Directory
        .EnumerateFiles(Repository.Root, "*.md", SearchOption.AllDirectories)
        .Select(f => Path.GetRelativePath(Repository.Root, f).Replace('\\', '/'))
        .Where(f => !f.Contains("/bin/", StringComparison.Ordinal) && !f.Contains("/obj/", StringComparison.Ordinal) && !f.StartsWith("dist/", StringComparison.Ordinal)));

    [Fact]
    public void Architecture_NamesOnlyTypesThatExist()
    {
        HashSet<string> types = [.. typeof(DeploymentRegistry).Assembly.GetTypes().Select(t => t.Name.Split('`')[0])];
        IEnumerable<string> framework = ["SemaphoreSlim", "Channel", "TimeProvider", "Random", "HttpRequest", "HttpContext", "CancellationToken"];

        IEnumerable<string> unknown = TypeName().Matches(Repository.Read("docs/architecture.md"))
            .Select(m => m.Groups[1].Value)
            .Where(name => !types.Contains(name) && !framework.Contains(name));

        Assert.Empty(unknown);
    }

    [Theory]
    [MemberData(nameof(Documents))]
    public void Links_LeadSomewhere(string document)
    {
        string folder = Path.GetDirectoryName(Path.Combine(Repository.Root, document))!;

        IEnumerable<string> broken = Link().Matches(Repository.Read(document))
            .Select(m => m.Groups[1].Value.Split('#')[0])
            .Where(link => link.Length > 0 && !link.Contains("://", StringComparison.Ordinal) && !Path.Exists(Path.Combine(folder, link)));

        Assert.Empty(broken);
    }

    [Theory]
    [InlineData(typeof(InstrumentNames))]
    [InlineData(typeof(SpanNames))]
    public void Observability_NamesEverythingThatIsTold(Type names)
    {
        string document = Repository.Read("docs/observability.md");

        Assert.All(names.GetFields(BindingFlags.Public | BindingFlags.Static), name => Assert.Matches($"`{name.GetRawConstantValue()}(_total)?`", document));
    }

    [GeneratedRegex(@"`([A-Z][a-z]+[A-Za-z]*)(<[^`]*>)?`")]
    private static partial Regex TypeName();

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();
}
