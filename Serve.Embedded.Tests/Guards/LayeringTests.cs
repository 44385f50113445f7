using System.Text.RegularExpressions;

namespace Serve.Embedded.Tests.Guards;

/// <summary>Who may use whom. The rooms are folders; what they use is what their files name.</summary>
public sealed partial class LayeringTests
{
    private static readonly Dictionary<string, string[]> Uses = new(StringComparer.Ordinal)
    {
        ["Config"] = [],
        ["Telemetry"] = [],
        ["Client"] = [],
        ["Deployments"] = ["Config", "Telemetry"],
        ["Replicas"] = ["Config", "Telemetry", "Deployments"],
        ["Handles"] = ["Config", "Telemetry", "Deployments", "Replicas"],
        ["Controller"] = ["Config", "Telemetry", "Deployments", "Replicas", "Handles"],
        ["Proxy"] = ["Config", "Telemetry", "Deployments", "Replicas", "Handles"],
        ["Admin"] = ["Config", "Telemetry", "Deployments", "Replicas", "Handles", "Controller"],
        ["Hosting"] = ["Config", "Telemetry", "Deployments", "Replicas", "Handles", "Controller", "Proxy", "Admin"],
        ["Cli"] = ["Config", "Telemetry", "Deployments", "Replicas", "Handles", "Controller", "Proxy", "Admin", "Hosting"],
    };

    [Fact]
    public void Rooms_AreTheFoldersOfTheSource() =>
        Assert.Equal(
            Uses.Keys.Order(StringComparer.Ordinal),
            Directory.EnumerateDirectories(Path.Combine(Repository.Root, "src")).Select(Path.GetFileName).Order(StringComparer.Ordinal));

    [Fact]
    public void Rooms_UseOnlyThoseBelowThem()
    {
        List<string> wrong = [];
        foreach ((string room, string[] allowed) in Uses)
        {
            foreach (string file in Repository.Sources($"src/{room}"))
            {
                foreach (Match match in Room().Matches(Repository.Read(file)))
                {
                    string used = match.Groups[1].Value;
                    if (used != room && Uses.ContainsKey(used) && !allowed.Contains(used))
                    {
                        wrong.Add($"{file} uses {used}");
                    }
                }
            }
        }

        Assert.Empty(wrong.Distinct());
    }

    [GeneratedRegex(@"Serve\.Embedded\.([A-Z][A-Za-z]+)")]
    private static partial Regex Room();
}
