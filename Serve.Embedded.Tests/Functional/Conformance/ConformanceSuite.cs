using System.Net;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>
/// Ray Serve's own tests, in this project's words, against every form of the server: each class is one subject, its heirs are the forms. The heirs for the published executable are with the
/// other tests of executables.
/// </summary>
public abstract class ConformanceSuite(SiteForm form)
{
    /// <summary>One runs and one may wait.</summary>
    private protected const string OneAndOne = "\"max_ongoing_requests\":1,\"max_queued_requests\":1";

    private protected static CancellationToken Deadline => TestContext.Current.CancellationToken;

    private protected Task<ConformanceSite> StartAsync(params string[] applications) => ConformanceSite.StartAsync(form, applications);

    private protected static string App(string importPath, string? deployment = null, string prefix = "/", string name = "app", string more = "") =>
        ConformanceSite.App(importPath, deployment, prefix, name, more);

    /// <summary>A deployment's name and its keys.</summary>
    private protected static string Of(string name, string keys) => $"\"name\":\"{name}\",{keys}";

    /// <summary>Begins a request that holds its permit until its name is released.</summary>
    private protected static async Task<Task<Answer>> HoldAsync(ConformanceSite site, string name, string prefix = "", CancellationTokenSource? client = null)
    {
        Task<Answer> holds = site.AskAsync($"{prefix}/hold/{name}", client);
        await site.HeardAsync($"begun {name}");
        return holds;
    }

    /// <summary>Begins a request that has to wait, as the <paramref name="place"/>th.</summary>
    private protected static async Task<Task<Answer>> QueueAsync(ConformanceSite site, string path, int place = 1, string deployment = "Probe", CancellationTokenSource? client = null)
    {
        Task<Answer> waits = site.AskAsync(path, client);
        await site.QueuedAsync(place, deployment);
        return waits;
    }

    /// <summary>It was answered 200, with this.</summary>
    private protected static async Task AnswersAsync(string body, Task<Answer> asked)
    {
        Answer answer = await asked;
        Assert.Equal((HttpStatusCode.OK, body), (answer.Status, answer.Body));
    }

    private protected static async Task LeftAsync(Task<Answer> asked) => await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asked);
}
