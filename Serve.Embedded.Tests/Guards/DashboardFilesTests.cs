using System.Text.RegularExpressions;
using Serve.Embedded.Admin.Dashboard;

namespace Serve.Embedded.Tests.Guards;

/// <summary>The dashboard has nothing inline, nothing from elsewhere, and nothing that could make markup of what a server says; and it is small.</summary>
public sealed partial class DashboardFilesTests
{
    private const string Folder = "src/Admin/Dashboard";

    private const int MostBytes = 64 * 1024;

    public static TheoryData<string> Files => new(Directory.EnumerateFiles(Path.Combine(Repository.Root, Folder), "dashboard.*").Select(f => $"{Folder}/{Path.GetFileName(f)}"));

    [Fact]
    public void Files_AreThoseThatAreServed() =>
        Assert.Equal(
            DashboardFile.All.Select(f => f.Path == "/" ? $"{Folder}/dashboard.html" : Folder + f.Path).Order(StringComparer.Ordinal),
            Files.Select(f => f.Data).Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Files))]
    public void File_NamesNoOtherOriginAndNoAbsolutePath(string file) =>
        Assert.All(Elsewhere().Matches(Repository.Read(file)), m => Assert.Equal("http://www.w3.org/2000/svg", m.Value));

    [Fact]
    public void Page_HasNothingInline()
    {
        string page = Repository.Read($"{Folder}/dashboard.html");

        Assert.Empty(Inline().Matches(page).Select(m => m.Value));
        Assert.Equal(["dashboard.js"], Script().Matches(page).Select(m => m.Groups[1].Value));
    }

    [Fact]
    public void Script_MakesNoMarkupAndNoCodeOfText() => Assert.Empty(Dangerous().Matches(Repository.Read($"{Folder}/dashboard.js")).Select(m => m.Value));

    [Fact]
    public void Script_OnlyAsks() => Assert.Empty(Changes().Matches(Repository.Read($"{Folder}/dashboard.js")).Select(m => m.Value));

    [Fact]
    public void Files_AreSmall() => Assert.InRange(Files.Sum(f => new FileInfo(Path.Combine(Repository.Root, f.Data)).Length), 1, MostBytes);

    [GeneratedRegex(@"(https?:)?//[a-z0-9][^\s""'<>)]*|(href|src|action)\s*=\s*[""']?/[^\s""'>]*|fetch\(\s*[""'`]/|ask\(\s*[""'`]/|url\([^)]*\)|@import|\b(https?|wss?|data|javascript):", RegexOptions.IgnoreCase)]
    private static partial Regex Elsewhere();

    [GeneratedRegex(@"<style|<script(?![^>]*\ssrc=)[^>]*>|<script[^>]*>[^<]+|\son[a-z]+\s*=|\sstyle\s*=|<(iframe|object|embed|base)\b", RegexOptions.IgnoreCase)]
    private static partial Regex Inline();

    [GeneratedRegex(@"<script[^>]*\ssrc=""([^""]*)""")]
    private static partial Regex Script();

    [GeneratedRegex(@"innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|DOMParser|createContextualFragment|srcdoc|\beval\b|new Function|setTimeout\(\s*[""'`]|\bimport\b|localStorage|document\.cookie")]
    private static partial Regex Dangerous();

    [GeneratedRegex(@"method\s*:|XMLHttpRequest|sendBeacon|WebSocket|EventSource")]
    private static partial Regex Changes();
}
