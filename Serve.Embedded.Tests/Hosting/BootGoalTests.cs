using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Config;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Deployments;
using Serve.Embedded.Hosting;

namespace Serve.Embedded.Tests.Hosting;

public sealed class BootGoalTests : IDisposable
{
    private static readonly BootOptions Resume = new(Resume: true);
    private static readonly BootOptions Fallback = new(Fallback: true);

    private readonly string _state = Path.Combine(Path.GetTempPath(), "serve-boot-" + Guid.NewGuid().ToString("N"));
    private readonly ConfigCatalog _catalog = ConfigSource.CatalogOf(new DeploymentRegistry().AddApplication("test:known", app => app.Add<HttpRequest, string>("Known", _ => null!)));
    private readonly ConfigResult _file = ConfigResult.Valid(new() { Http = new() { Port = 1 } });
    private readonly ConfigResult _broken = ConfigResult.Invalid([new("config.toml", 1, 1, "broken")]);

    public void Dispose()
    {
        if (Directory.Exists(_state))
        {
            Directory.Delete(_state, recursive: true);
        }
    }

    [Fact]
    public void Choose_Resume_IsTheLastGoodGeneration()
    {
        Keep("test:known");
        using GenerationStore store = Open();

        BootGoal goal = BootGoal.Choose(_file, store, Resume, _catalog);

        Assert.Equal((1, 2, null), (goal.Generation!.Number, goal.Config!.Http.Port, goal.WhyNoGeneration));
    }

    [Fact]
    public void Choose_ResumeWithoutAGoodGeneration_IsTheFileAndNamesTheFolder()
    {
        using GenerationStore store = Open();

        BootGoal goal = BootGoal.Choose(_file, store, Resume, _catalog);

        Assert.Equal((_file.Config, null), (goal.Config, goal.Generation));
        Assert.Equal($"No earlier run has left a good generation in {_state}.", goal.WhyNoGeneration);
    }

    /// <summary>There are good generations, and they are another's: "none yet" would send who reads it to look for what has become of them.</summary>
    [Fact]
    public void Choose_ResumeBesideAnotherServer_SaysWhoHasTheFolder()
    {
        Keep("test:known");
        using GenerationStore first = Open();
        using GenerationStore second = Open();

        BootGoal goal = BootGoal.Choose(_file, second, Resume, _catalog);

        Assert.Equal((_file.Config, null), (goal.Config, goal.Generation));
        Assert.StartsWith("Generations of earlier runs cannot be read: Another server, ", goal.WhyNoGeneration, StringComparison.Ordinal);
        Assert.EndsWith($"keeps its generations in {_state}. Stop that one first, or give this one another state_dir.", goal.WhyNoGeneration, StringComparison.Ordinal);
    }

    [Fact]
    public void Choose_ResumeWhatThisExecutableDoesNotHave_NamesTheGenerationAndWhatItLacks()
    {
        Keep("test:other");
        using GenerationStore store = Open();

        BootGoal goal = BootGoal.Choose(_file, store, Resume, _catalog);

        Assert.Equal((_file.Config, null), (goal.Config, goal.Generation));
        Assert.StartsWith($"Generation 1 in {_state}, the last that was good, is not valid for this executable: generation 1", goal.WhyNoGeneration, StringComparison.Ordinal);
        Assert.Contains("test:other", goal.WhyNoGeneration, StringComparison.Ordinal);
    }

    [Fact]
    public void Choose_ResumeWithNowhereToKeepState_SaysWhatToSet()
    {
        using GenerationStore store = GenerationStore.Open((string?)null, TimeProvider.System, NullLogger.Instance);

        BootGoal goal = BootGoal.Choose(_file, store, Resume, _catalog);

        Assert.Equal("Generations of earlier runs cannot be read: no folder for state is known. Set state_dir, STATE_DIRECTORY, XDG_STATE_HOME or HOME.", goal.WhyNoGeneration);
    }

    [Fact]
    public void Choose_FallbackWithAGoodFile_IsTheFile()
    {
        Keep("test:known");
        using GenerationStore store = Open();

        Assert.Equal(new(_file.Config, null, null), BootGoal.Choose(_file, store, Fallback, _catalog));
    }

    [Fact]
    public void Choose_FallbackWithABrokenFileBesideAnotherServer_IsNothingAndSaysWhy()
    {
        Keep("test:known");
        using GenerationStore first = Open();
        using GenerationStore second = Open();

        BootGoal goal = BootGoal.Choose(_broken, second, Fallback, _catalog);

        Assert.Null(goal.Config);
        Assert.Contains("Another server, ", goal.WhyNoGeneration, StringComparison.Ordinal);
    }

    /// <summary>Leaves a good generation.</summary>
    private void Keep(string importPath)
    {
        using GenerationStore store = Open();
        store.Add(new() { Http = new() { Port = 2 }, Applications = [new() { Name = "app", ImportPath = importPath }] }, GenerationSource.File);
        store.MarkGood(1);
    }

    private GenerationStore Open() => GenerationStore.OpenOrInMemory(_state, TimeProvider.System, NullLogger.Instance);
}
