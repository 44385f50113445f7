using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>The dashboard of the published executable in a browser: what somebody who looks at it sees.</summary>
public sealed class BinaryDashboardTests
{
    /// <summary>Whatever the server tells is text, and stays it.</summary>
    private const string Markup = "<img src=x onerror=document.title=1><script>document.title=2</script>";

    [Fact]
    public async Task Page_RunningServer_ShowsQueueRefusalsAndWhyADeployFailed()
    {
        await Browser.SkipWithoutAsync();
        string failing = $"""

            [[applications]]
            name = "broken"
            route_prefix = "/broken"

              [[applications.deployments]]
              name = "model"
              command = ["sh", "-c", "echo '{Markup}' >&2; exit 3"]
              max_constructor_retry_count = 1

            """;
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 60, ongoing: 1, queued: 1) + failing);
        using CancellationTokenSource enough = new();
        Task<HttpResponseMessage>[] held = [server.Client.GetAsync("/", enough.Token), server.Client.GetAsync("/", enough.Token)];
        await UntilAsync(server, "slow", "SlowDeployment", d => d.GetProperty("requests").GetProperty("queued").GetInt32() == 1);
        for (int i = 0; i < 3; i++)
        {
            using HttpResponseMessage refused = await server.Client.GetAsync("/", server.Deadline);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        }

        await UntilAsync(server, "broken", "model", d => d.GetProperty("log_tail").GetArrayLength() > 0);
        await using Browser browser = await Browser.OpenAsync(server.AdminAddress);
        await browser.UntilAsync("document.querySelectorAll('.deployment').length === 2");
        await browser.UntilAsync("document.querySelector('.detail pre')");

        Assert.Equal(
            "slow|SlowDeployment|healthy|1/1|1/1|1/1|3",
            await browser.EvaluateAsync(
                """
                [...document.querySelectorAll('tbody')].filter(b => b.querySelector('strong')?.textContent === 'slow').map(b => [
                  b.querySelector('strong').textContent, b.querySelector('.open').textContent,
                  ...['Status', 'Replicas', 'Ongoing', 'Queued', 'Refused'].map(l => b.querySelector(`[data-label="${l}"]`).textContent)].join('|'))[0]
                """));
        string text = await browser.TextAsync();
        Assert.Contains(Markup, await browser.EvaluateAsync("document.querySelector('.detail pre').textContent"), StringComparison.Ordinal);
        Assert.Contains("exit code 3", text, StringComparison.Ordinal);
        Assert.Contains("Read only.", text, StringComparison.Ordinal);
        Assert.Equal("0", await browser.EvaluateAsync("document.querySelectorAll('img, body script').length"));
        Assert.Equal("(1) Serve", await browser.EvaluateAsync("document.title"));

        // A rate needs two answers.
        await browser.UntilAsync("[...document.querySelectorAll('#sums div')].some(d => d.textContent === 'Refused/s0')");
        await enough.CancelAsync();
        await Task.WhenAll(held).ContinueWith(static t => t.Exception, TestContext.Current.CancellationToken, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    [Fact]
    public async Task Page_ServerIsGoneAndComesBack_SaysSoAndShowsItAgain()
    {
        await Browser.SkipWithoutAsync();
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());
        await using Browser browser = await Browser.OpenAsync(server.AdminAddress);
        await browser.UntilAsync("document.querySelector('.deployment')");

        server.Signal(ServeBinary.Terminate);
        Assert.Equal(0, await server.ExitAsync());
        await browser.UntilAsync("document.querySelector('#answering').textContent.startsWith('No answer since ') && document.title === '(no answer) Serve'");
        await using ServeProcess again = ServeProcess.Launch(
            Toml.Slow(), shell: null, environment: null, "--port", "0", "--admin-port", server.AdminAddress.Port.ToString(CultureInfo.InvariantCulture));
        await again.ReadyAsync();
        await browser.UntilAsync($"document.querySelector('#answering').textContent === 'The server answers.' && document.title === 'Serve' && document.querySelector('#about').textContent.includes('process {again.Id} ')");
    }

    [Fact]
    public async Task Page_TokenFile_AsksForItAndShowsNothingWithoutIt()
    {
        await Browser.SkipWithoutAsync();
        using OperatorSite site = new(string.Empty);
        string token = site.Write("token", "s3cret\n");
        site.Write($"[admin_options]\ntoken_file = \"{token}\"\n{Toml.Slow()}");
        await using ServeProcess server = await site.StartAsync();
        await using Browser browser = await Browser.OpenAsync(server.AdminAddress);

        await browser.UntilAsync("document.querySelector('#login')?.hidden === false");
        string before = await browser.TextAsync();
        await browser.EvaluateAsync(Give("wrong"));
        await browser.UntilAsync("document.querySelector('#why').textContent.includes('does not take this token')");
        await browser.EvaluateAsync(Give("s3cret"));
        await browser.UntilAsync("document.querySelector('.deployment')");

        Assert.DoesNotContain("SlowDeployment", before, StringComparison.Ordinal);
        Assert.Contains("SlowDeployment", await browser.TextAsync(), StringComparison.Ordinal);
        Assert.Equal("s3cret|0|", await browser.EvaluateAsync("[sessionStorage.getItem('serve-admin-token'), localStorage.length, document.cookie].join('|')"));

        static string Give(string token) => $"(document.querySelector('#token').value = '{token}', document.querySelector('#login').requestSubmit())";
    }

    [Fact]
    public async Task Page_WorkerDies_CountsTheRestartAndShowsTheNewProcess()
    {
        await Browser.SkipWithoutAsync();
        using OperatorSite site = await WorkerSite.CreateAsync();
        site.Write(WorkerSite.Config(replicas: 1));
        await using ServeProcess server = await site.StartAsync();
        await using Browser browser = await Browser.OpenAsync(server.AdminAddress);
        using Process first = await WorkerSite.AskForProcessAsync(server);
        await browser.UntilAsync("document.querySelector('.open')");
        await browser.EvaluateAsync("document.querySelector('.open').click()");
        await browser.UntilAsync($"document.querySelector('.replicas [data-label=Process]').textContent === '{first.Id}'");
        Assert.Matches(@"^\d+ MiB$", await browser.EvaluateAsync("document.querySelector('.replicas [data-label=Memory]').textContent"));

        first.Kill();
        await server.LineAsync("ended by itself");
        using Process second = await WorkerSite.AskForProcessAsync(server);

        await browser.UntilAsync($"document.querySelector('.replicas [data-label=Process]')?.textContent === '{second.Id}'");
        Assert.Contains("Restarts: 1.", await browser.EvaluateAsync("document.querySelector('.detail p').textContent"), StringComparison.Ordinal);
        Assert.Equal("true", await browser.EvaluateAsync("document.querySelector('.open').ariaExpanded"));
    }

    private static async Task UntilAsync(ServeProcess server, string application, string deployment, Func<JsonElement, bool> isSo)
    {
        while (true)
        {
            using JsonDocument status = JsonDocument.Parse(await server.Client.GetStringAsync(new Uri(server.AdminAddress, "/api/serve/applications/?view=full"), server.Deadline));
            if (isSo(status.RootElement.GetProperty("applications").GetProperty(application).GetProperty("deployments").GetProperty(deployment)))
            {
                return;
            }

            await Task.Yield();
        }
    }
}
