using System.Reflection;
using System.Text;
using Serve.Embedded.Tests.Functional.Conformance;

namespace Serve.Embedded.Tests.Guards;

/// <summary>Every row of <see cref="ContractRows"/> that applies has a test, and the list of them in the repository is true.</summary>
public sealed class ContractRowsTests
{
    private const string List = "docs/conformance.md";

    private static readonly IReadOnlyList<(MethodInfo Method, IReadOnlyList<int> Rows)> Tests =
    [
        .. from type in typeof(ContractRowsTests).Assembly.GetTypes()
           from method in type.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly)
           let rows = method.GetCustomAttribute<ContractRowAttribute>()
           where rows is not null
           orderby typeof(ConformanceSuite).IsAssignableFrom(type) descending, type.Name, method.Name
           select (method, rows.Rows),
    ];

    [Fact]
    public void Rows_ThatApply_HaveATest_AndNoOthers() => Assert.Equal(
        ContractRows.All.Where(r => r.WhyNot is null).Select(r => r.Number),
        Tests.SelectMany(t => t.Rows).Distinct().Order());

    [Fact]
    public void Rows_ThatAClientCanSee_AreTestedAgainstEveryForm()
    {
        Type[] suites = [.. typeof(ConformanceSuite).Assembly.GetTypes().Where(t => t.BaseType == typeof(ConformanceSuite))];

        Assert.Equal(ContractRows.OfEveryForm, Tests.Where(t => suites.Contains(t.Method.DeclaringType)).SelectMany(t => t.Rows).Distinct().Order());
        Assert.All(suites, suite => Assert.Equal(
            Enum.GetNames<SiteForm>().Select(form => $"{form}{suite.Name}").Order(),
            suite.Assembly.GetTypes().Where(t => t.BaseType == suite).Select(t => t.Name).Order()));
    }

    [Fact]
    public void Rows_InTheDocument_AreThese()
    {
        string actual = Describe();
        if (Environment.GetEnvironmentVariable("SERVE_UPDATE_DOCS") == "1")
        {
            File.WriteAllText(Path.Combine(Repository.Root, List), actual);
        }

        Assert.True(actual == Repository.Read(List).ReplaceLineEndings("\n"), $"{List} does not list the tests that there are. Run the tests with SERVE_UPDATE_DOCS=1 and commit it. It should be:\n{actual}");
    }

    private static string Describe()
    {
        StringBuilder text = new();
        text.Append(
            """
            # Conformance

            The tests of Ray Serve that define its semantics, and the tests here that answer for them. Those of classes whose names end in `Conformance` run against every form of the server: on a port of its
            own, mapped into an application of somebody else's, and as a published native executable. They know it by its addresses alone. The last form needs the executable in
            [Serve.Embedded.Tests/Functional/Conformance/Subject](../Serve.Embedded.Tests/Functional/Conformance/Subject/Subject.csproj):

            ```sh
            subject=Serve.Embedded.Tests/Functional/Conformance/Subject
            dotnet publish $subject -c Release -o $subject/dist
            SERVE_CONFORMANCE_BINARY=$PWD/$subject/dist/subject dotnet test --project Serve.Embedded.Tests --filter-class '*Conformance'
            ```

            | | Ray Serve's test | here |
            | --- | --- | --- |

            """);
        foreach (ContractRow row in ContractRows.All)
        {
            string here = row.WhyNot is { } why
                ? $"does not apply: {why}"
                : string.Join("<br>", Tests.Where(t => t.Rows.Contains(row.Number)).Select(t => $"`{t.Method.DeclaringType!.Name}.{t.Method.Name}`"));
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"| {row.Number} | {row.RaysTests.Replace("_", "\\_", StringComparison.Ordinal)} | {here} |\n");
        }

        return text.ToString();
    }
}
