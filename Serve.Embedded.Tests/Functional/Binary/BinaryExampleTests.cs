namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>The examples, as a newcomer follows them: their own files, and the commands of their READMEs.</summary>
public sealed class BinaryExampleTests
{
    [Fact]
    public async Task PythonWorker_ItsReadme_IsTrue()
    {
        await Programs.SkipWithoutAsync("python3", "--version");
        await FollowAsync("python-worker", "serve_embedded.py");
    }

    [Fact]
    public async Task AnyLanguage_ItsReadme_IsTrue()
    {
        await Programs.SkipWithoutAsync("python3", "--version");
        await Programs.SkipWithoutAsync("node", "--version");
        await FollowAsync("any-language", "hello.js");
    }

    [Fact]
    public async Task Digits_ItsReadme_IsTrue()
    {
        await Programs.SkipWithoutAsync("/usr/bin/python3", "-c", "import sklearn");
        await FollowAsync("digits", "serve_embedded.py");
    }

    /// <summary>The reload in the README reaches the processes that run: the same ones after it as before it.</summary>
    private static async Task FollowAsync(string example, string program)
    {
        using ExampleSite site = new(example);
        await using ServeProcess server = await site.StartAsync();
        int[] before = [.. Processes.ChildrenOf(server.Id, program).Order()];
        bool reloaded = false;

        await site.FollowReadmeAsync(server, () =>
        {
            Assert.Equal(before, Processes.ChildrenOf(server.Id, program).Order());
            reloaded = true;
        });

        Assert.True(before.Length >= 2);
        Assert.True(reloaded);
    }
}
