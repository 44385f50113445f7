using System.Text.Json;
using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Replicas.Workers;

/// <summary>What the server learns of a Python file before it starts replicas of a class in it.</summary>
public sealed class PythonImportTests
{
    /// <summary>The slow example of Ray Serve's documentation; only its import lines are others.</summary>
    private const string Slow =
        """
        import time
        from serve_embedded import Request, serve


        @serve.deployment(max_ongoing_requests=2, max_queued_requests=2)
        class SlowDeployment:
            def __call__(self, request: Request) -> str:
                time.sleep(2)
                return "Hello!"


        app = SlowDeployment.bind()
        """;

    private const string Many =
        """
        import sys
        from serve_embedded import AutoscalingConfig, serve

        @serve.deployment(name="big", user_config={"threshold": 0.5}, autoscaling_config=AutoscalingConfig(max_replicas=3), health_check_period_s=5)
        class Model:
            def __init__(self, path="p"):
                raise RuntimeError("the constructor is none of the import's business")
            async def __call__(self, request):
                yield "x"
            def reconfigure(self, user_config): ...
            async def check_health(self): ...

        class Plain:
            class Inner:
                def __call__(self, request): ...
            def __call__(self, request): ...

        class Mute: ...

        @serve.deployment
        def function(request): ...

        def undecorated(request): ...

        number = 5
        other = Model.options(name="other", num_replicas="auto", user_config=None).bind(path="q")
        composed = Model.bind(Plain, [serve.deployment(Plain).bind()])
        ray = serve.deployment(Plain, ray_actor_options={"num_cpus": 2, "num_gpus": 1}, version="v1")
        unwritable = serve.deployment(Plain, user_config={"object": object()})
        print("module output")
        """;

    [Theory]
    [InlineData("ray", ". What stands in for it here is serve_embedded: from serve_embedded import Request, serve")]
    [InlineData("starlette", ". Install it, or take what is here: from serve_embedded import Request, Response, StreamingResponse")]
    [InlineData("torch", "")]
    public async Task Import_OfWhatIsRayServes_SaysWhatIsHere(string package, string hint)
    {
        // Absent, also where the test's machine has it.
        string code = $"import sys\nsys.modules['{package}'] = None\nimport {package}\nclass Model:\n    def __call__(self, request): ...\n";
        string raised = $"ModuleNotFoundError: import of {package} halted; None in sys.modules";

        Finished import = await PythonHost.RunAsync(code, ["import", "m.Model"]);
        Finished run = await PythonHost.RunAsync(code, ["run", "m.Model"]);

        Assert.Equal(raised + hint, JsonDocument.Parse(import.Out).RootElement.GetProperty("error").GetString());
        Assert.EndsWith(raised + hint, run.Error.TrimEnd(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("m.SlowDeployment")]
    [InlineData("m:SlowDeployment")]
    [InlineData("m:app")]
    [InlineData("m.app")]
    public async Task Import_ExampleOfRayServe_NamesItsDeploymentAndItsOptions(string target)
    {
        JsonElement found = await ImportAsync(Slow, target);

        Assert.Equal(
            """{"deployments": [{"name": "SlowDeployment", "options": {"max_ongoing_requests": 2, "max_queued_requests": 2}, "has_reconfigure": false, "has_check_health": false, "is_async": false}], "warnings": []}""",
            found.GetRawText());
    }

    [Theory]
    [InlineData("m.Model", "big", """{"user_config": {"threshold": 0.5}, "autoscaling_config": {"max_replicas": 3}, "health_check_period_s": 5}""", true, true)]
    [InlineData("m.other", "other", """{"autoscaling_config": {"max_replicas": 3}, "health_check_period_s": 5, "num_replicas": "auto"}""", true, true)]
    [InlineData("m.Plain", "Plain", "{}", false, false)]
    [InlineData("m:Plain.Inner", "Inner", "{}", false, false)]
    [InlineData("m.function", "function", "{}", false, false)]
    public async Task Import_WhatCanBeServed_IsDescribed(string target, string name, string options, bool hasHooks, bool isAsync)
    {
        JsonElement found = await ImportAsync(Many, target);

        JsonElement deployment = Assert.Single(found.GetProperty("deployments").EnumerateArray());
        Assert.Equal(name, deployment.GetProperty("name").GetString());
        Assert.Equal(options, deployment.GetProperty("options").GetRawText());
        Assert.Equal(hasHooks, deployment.GetProperty("has_reconfigure").GetBoolean());
        Assert.Equal(hasHooks, deployment.GetProperty("has_check_health").GetBoolean());
        Assert.Equal(isAsync, deployment.GetProperty("is_async").GetBoolean());
    }

    [Fact]
    public async Task Import_OptionsThatOnlyRayHas_AreWarnings()
    {
        JsonElement found = await ImportAsync(Many, "m.ray");

        Assert.Equal("""{"num_cpus": 2}""", found.GetProperty("deployments")[0].GetProperty("options").GetRawText());
        Assert.Equal(
            ["version of Plain has no effect here", "ray_actor_options['num_gpus'] of Plain has no effect here"],
            found.GetProperty("warnings").EnumerateArray().Select(w => w.GetString()!));
    }

    [Theory]
    [InlineData("n.Model", "There is no module 'n' in ")]
    [InlineData("m.Modell", "/m.py has no 'Modell'. Did you mean 'Model'?")]
    [InlineData("m", "'m' does not say what to serve: write FILE.CLASS")]
    [InlineData("a/m.Model", "'a/m' is not the name of a module")]
    [InlineData("m.Mute", "m.Mute cannot take requests: the class Mute has no __call__(self, request)")]
    [InlineData("m.undecorated", "m.undecorated is a plain function: put @serve.deployment above it")]
    [InlineData("m.number", "m.number is a int: name a class, a deployment or what .bind() returned")]
    [InlineData("m.composed", "big is bound to another deployment, Plain: deployments in Python run in processes of their own and cannot be composed")]
    [InlineData("m.unwritable", "The option user_config of Plain cannot be written as JSON: Object of type object is not JSON serializable")]
    public async Task Import_WhatCannotBeServed_SaysWhy(string target, string error)
    {
        JsonElement found = await ImportAsync(Many, target, exitCode: 1);

        Assert.Contains(error, found.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Equal("", found.GetProperty("traceback").GetString());
    }

    [Theory]
    [InlineData("@serve.deployment(max_ongoing_request=2)\nclass Model: ...", "TypeError: serve.deployment has no option 'max_ongoing_request'. Did you mean 'max_ongoing_requests'?")]
    [InlineData("@serve.deployment(max_concurrent_queries=2)\nclass Model: ...", "TypeError: serve.deployment has no option 'max_concurrent_queries': it is called max_ongoing_requests")]
    [InlineData("import nosuchthing", "ModuleNotFoundError: No module named 'nosuchthing'")]
    [InlineData("def broken(:", "SyntaxError: invalid syntax")]
    [InlineData("import sys\nsys.exit(7)", "The module ended Python while it was imported: sys.exit(7)")]
    [InlineData("serve.run(None)", "start it with: serve run config.toml")]
    [InlineData("serve.ingress(None)", "An ASGI application (FastAPI, Starlette) is served by its own server")]
    [InlineData("serve.get_replica_context()", "can only be called inside a replica")]
    public async Task Import_ModuleThatFails_GivesTheErrorAndTheTracebackOfTheModuleAlone(string code, string error)
    {
        JsonElement found = await ImportAsync("from serve_embedded import serve\n" + code, "m.Model", exitCode: 1);

        Assert.Contains(error, found.GetProperty("error").GetString(), StringComparison.Ordinal);
        string traceback = found.GetProperty("traceback").GetString()!;
        Assert.Contains("m.py\", line ", traceback, StringComparison.Ordinal);
        Assert.DoesNotContain("importlib", traceback, StringComparison.Ordinal);
        Assert.DoesNotContain("in _load", traceback, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Import_OnStandardOutput_IsTheDocumentAlone()
    {
        Finished finished = await PythonHost.RunAsync(Many, ["import", "m.Plain"]);

        Assert.Equal(0, finished.ExitCode);
        Assert.StartsWith("{\"deployments\"", finished.Out, StringComparison.Ordinal);
        Assert.Contains("module output", finished.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Import_ModuleThatLeavesAThreadBehind_Ends()
    {
        Finished finished = await PythonHost.RunAsync(
            """
            import threading
            threading.Thread(target=threading.Event().wait).start()
            class Model:
                def __call__(self, request): ...
            """,
            ["import", "m.Model"]);

        Assert.Equal(0, finished.ExitCode);
    }

    [Fact]
    public async Task Import_FileThatAModuleOfPythonHides_SaysSo()
    {
        Finished finished = await PythonHost.RunAsync("class Model: ...", ["import", "queue.Model"], file: "queue.py");

        Assert.Equal(1, finished.ExitCode);
        Assert.Contains("queue.py is hidden by another module of Python that is called queue too: give your file another name", finished.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Import_InterpreterThatIsTooOld_SaysSo()
    {
        JsonElement document = await ImportAsync(
            """
            import sys
            import serve_embedded
            sys.version_info = (3, 8, 18)
            serve_embedded._load("m.Model")
            """,
            "m.Model",
            exitCode: 1);

        Assert.Contains("3.9 or newer is needed: name another one with the key python", document.GetProperty("error").GetString(), StringComparison.Ordinal);
    }

    private static async Task<JsonElement> ImportAsync(string module, string target, int exitCode = 0)
    {
        using TempFolder folder = new();
        string document = Path.Combine(folder.Path, "document");
        Finished finished = await PythonHost.RunAsync(module, ["import", target, "--out", document]);

        Assert.True(finished.ExitCode == exitCode, $"It ended with {finished.ExitCode}.\n{finished.Out}{finished.Error}");
        return JsonDocument.Parse(await File.ReadAllTextAsync(document, TestContext.Current.CancellationToken)).RootElement;
    }
}
