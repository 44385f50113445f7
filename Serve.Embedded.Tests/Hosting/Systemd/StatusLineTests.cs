using Serve.Embedded.Controller;
using Serve.Embedded.Hosting.Systemd;
using Xunit;

namespace Serve.Embedded.Tests.Hosting.Systemd;

public sealed class StatusLineTests
{
    [Fact]
    public void Of_AllRun_CountsThem() =>
        Assert.Equal("Serving 2 application(s) on http://a, http://b", StatusLine.Of([Report("x"), Report("y")], ["http://a", "http://b"]));

    [Fact]
    public void Of_SomeDoNot_NamesThem() =>
        Assert.Equal(
            "Serving 1 of 3 application(s) on http://a; y is DEPLOY_FAILED; z is UNHEALTHY",
            StatusLine.Of([Report("x"), Report("y", ApplicationStatus.DeployFailed), Report("z", ApplicationStatus.Unhealthy)], ["http://a"]));

    [Fact]
    public void Of_ManyDoNot_NamesThreeAndCountsTheOthers() =>
        Assert.Equal(
            "Serving 0 of 5 application(s) on http://a; 1 is DEPLOYING; 2 is DEPLOYING; 3 is DEPLOYING; and 2 more are not well",
            StatusLine.Of([.. Enumerable.Range(1, 5).Select(n => Report($"{n}", ApplicationStatus.Deploying))], ["http://a"]));

    private static ApplicationReport Report(string name, ApplicationStatus status = ApplicationStatus.Running) =>
        new(name, "/", "builtin:echo", status, "", DateTimeOffset.UnixEpoch, null, []);
}
