using System.Net;
using System.Text;
using Serve.Embedded.Config;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Functional;

/// <summary>What the server does with what files of Python declare. A shell stands for the interpreter, so that a test says what the import finds and nothing needs Python.</summary>
public sealed class PythonCodeTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Scale_DeploymentThatOnlyTheFileDeclares_BecomesPartOfTheGoalAndImportsNothing()
    {
        await using TestServer server = await TestServer.StartAsync(new DeploymentRegistry(), Config());
        using HttpClient admin = new() { BaseAddress = new(server.Server.AdminAddresses[0]) };

        using HttpResponseMessage scaled = await ScaleAsync(admin, "Declared");
        using HttpResponseMessage unknown = await ScaleAsync(admin, "Nope");

        Assert.Equal(HttpStatusCode.OK, scaled.StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, unknown.StatusCode);
        Assert.Contains("There is no deployment ", await unknown.Content.ReadAsStringAsync(TestServer.Deadline), StringComparison.Ordinal);
        Assert.Equal(3, Assert.Single(server.Deployer.View.Goal.Applications[0].Deployments).NumReplicas);
        Assert.Equal(1, Imports);
    }

    [Fact]
    public async Task Import_FailsUntilTheDiskIsThere_IsTriedAgainByTheClockAndAmendsItsGeneration()
    {
        ManualTimeProvider time = new();
        await using TestServer server = await TestServer.StartAsync(new DeploymentRegistry(), Config($"[ -e '{_folder.Path}/disk' ] || {{ echo no disk >&2; exit 1; }}"), time);
        string failure = Assert.Single(server.Outcome.Failures);
        Assert.Contains("Importing model.Model from", failure, StringComparison.Ordinal);
        Assert.Contains("no disk", failure, StringComparison.Ordinal);
        Assert.Equal(1, Imports);
        Assert.Equal(GenerationOutcome.Failed, (await EndedAsync(server)).Outcome);

        _folder.Write("disk", "");
        while (Imports < 2)
        {
            // In small steps: the import, which takes real time, has its own limit on this clock.
            time.Advance(TimeSpan.FromMicroseconds(100));
            await Task.Yield();
        }

        await UntilAsync(() => server.Server.Status.Applications[0].Deployments[0].Goal is { Name: "Declared", MaxOngoingRequests: 7 });

        Assert.Equal(2, Imports);
        Assert.Contains("\"Declared\"", server.Deployer.Generations[0].Code, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("echo \"  File \\\"$1\\\", line 1\"", true)]
    [InlineData("echo Segmentation fault", false)]
    public async Task Import_InterpreterThatStumblesOverTheHostItself_IsSaidToBeTooOld(string says, bool tooOld)
    {
        await using TestServer server = await TestServer.StartAsync(new DeploymentRegistry(), Config($"{says} >&2; exit 1"), new ManualTimeProvider());

        string failure = Assert.Single(server.Outcome.Failures);

        Assert.Contains("ended with exit code 1", failure, StringComparison.Ordinal);
        Assert.Equal(tooOld, failure.Contains("older than Python 3.9: name another one with the key python", StringComparison.Ordinal));
    }

    /// <summary>What a file declares reaches its workers on the same road as what is written.</summary>
    [Theory]
    [InlineData(131_071, null, "The worker ended before it answered: exit code 1")]
    [InlineData(131_072, null, "What model.Model declares cannot be served: user_config of deployment 'Declared' of application 'py' is too long for its workers: they are given it in the variable SERVE_USER_CONFIG, 131072 bytes as JSON and with that name, and Linux takes 131071 of one variable. Put what is long into a file, and write the file's name in user_config.")]
    [InlineData(131_072, "{}", "The worker ended before it answered: exit code 1")]
    public async Task Declared_UserConfigLongerThanAVariable_IsAFailedBuildUnlessAnotherIsWritten(int bytes, string? written, string failure)
    {
        string declared = new('x', bytes - "SERVE_USER_CONFIG=\"\"".Length);
        ServeConfig config = Config(options: $$"""{"max_constructor_retry_count": 1, "user_config": "{{declared}}"}""");
        config = written is null ? config : config with { Applications = [config.Applications[0] with { Deployments = [new() { Name = "Declared", UserConfig = written }] }] };

        await using TestServer server = await TestServer.StartAsync(new DeploymentRegistry(), config, new ManualTimeProvider());

        Assert.Contains(failure, Assert.Single(server.Outcome.Failures), StringComparison.Ordinal);
    }

    private int Imports => File.ReadAllLines(Path.Combine(_folder.Path, "imports")).Length;

    private static Task<HttpResponseMessage> ScaleAsync(HttpClient admin, string deployment) => admin.PostAsync(
        $"/api/v1/applications/py/deployments/{deployment}/scale", new StringContent("""{"target_num_replicas": 3}""", Encoding.UTF8, "application/json"), TestServer.Deadline);

    private static async Task<Generation> EndedAsync(TestServer server)
    {
        await UntilAsync(() => server.Deployer.Generations[0].Outcome != GenerationOutcome.Pending);
        return server.Deployer.Generations[0];
    }

    private static async Task UntilAsync(Func<bool> isSo)
    {
        while (!isSo())
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    /// <param name="import">What the import does before it answers.</param>
    /// <param name="options">What the file declares.</param>
    private ServeConfig Config(string import = "", string options = """{"max_ongoing_requests": 7}""")
    {
        _folder.Write("document", $$"""{"deployments": [{"name": "Declared", "options": {{options}}, "has_reconfigure": false}]}""");
        string python = _folder.Write(
            "python",
            $$"""
            #!/bin/sh
            # As the server calls it: HOST import FILE.CLASS --out DOCUMENT, or HOST run FILE.CLASS.
            [ "$2" = import ] || exit 1
            echo "$3" >> '{{_folder.Path}}/imports'
            {{import}}
            cp '{{_folder.Path}}/document' "$5"
            """);
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(python, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        return new() { Applications = [new() { Name = "py", ImportPath = "python:model.Model", Python = python, RuntimeEnv = new() { WorkingDir = _folder.Path } }] };
    }
}
