using System.Diagnostics;
using System.Globalization;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>A folder with a class of Python that a test can make misbehave, and configurations for it.</summary>
internal static class WorkerSite
{
    /// <summary>Answers "PID VERSION MESSAGE"; its query says what else it does.</summary>
    private const string Code =
        """
        import os, signal, time
        from serve_embedded import serve

        LEAK = []

        @serve.deployment(max_ongoing_requests=4, max_queued_requests=1000)
        class Worker:
            def __init__(self, version="v1", fails=False):
                if fails:
                    print("about to fail")
                    raise RuntimeError("the model is missing")
                self.version, self.message, self.hangs = version, "Hello!", False

            def reconfigure(self, user_config):
                if "message" not in user_config:
                    raise ValueError("message is missing")
                self.message = user_config["message"]

            def check_health(self):
                while self.hangs:
                    time.sleep(1)

            def __call__(self, request):
                query = request.query_params
                if "die" in query:
                    os.kill(os.getpid(), signal.SIGKILL)
                if "hang" in query:
                    self.hangs = True
                if "leak" in query:
                    LEAK.append(bytearray(int(query["leak"]) * 1024 * 1024))
                if "child" in query:
                    return str(os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "3600"))
                if "stray" in query:
                    return str(os.spawnlp(os.P_NOWAIT, "setsid", "setsid", "sleep", "3600"))
                if "fail" in query:
                    raise RuntimeError("no luck")
                return f"{os.getpid()} {self.version} {self.message}"
        """;

    public static async Task<OperatorSite> CreateAsync(string more = "", string application = "")
    {
        await Programs.SkipWithoutAsync("python3", "--version");
        OperatorSite site = new(Config(more, application));
        site.Write("worker.py", Code);
        return site;
    }

    public static string Config(string more = "", string application = "", int replicas = 2) => string.Create(
        CultureInfo.InvariantCulture,
        $$"""
        [box]
        cpus = 64

        [[applications]]
        name = "py"
        import_path = "python:worker.Worker"
        {{application}}

          [[applications.deployments]]
          name = "Worker"
          num_replicas = {{replicas}}
          {{more}}

        """);

    public static string Command(string command, string more = "") =>
        $"""
        [[applications]]
        name = "command"

          [[applications.deployments]]
          name = "w"
          command = {command}
          max_constructor_retry_count = 1
          {more}

        """;

    /// <summary>The process that answered.</summary>
    public static async Task<Process> AskForProcessAsync(ServeProcess server, string path = "/") =>
        Process.GetProcessById(int.Parse((await server.Client.GetStringAsync(path, server.Deadline)).Split(' ')[0], CultureInfo.InvariantCulture));

    /// <summary>Asks again and again, and is answered each time.</summary>
    public static async Task<int> LoadAsync(ServeProcess server, CancellationToken enough, string path = "/")
    {
        using HttpClient client = server.NewClient();
        int answered = 0;
        while (!enough.IsCancellationRequested)
        {
            using HttpResponseMessage response = await client.GetAsync(path, server.Deadline);
            string body = await response.Content.ReadAsStringAsync(server.Deadline);
            Assert.True(response.IsSuccessStatusCode, $"{(int)response.StatusCode} {body}");
            answered++;
        }

        return answered;
    }
}
