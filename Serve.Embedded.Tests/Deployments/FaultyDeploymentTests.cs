using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Deployments;

public sealed class FaultyDeploymentTests
{
    private readonly ManualTimeProvider _clock = new();

    [Theory]
    [InlineData(null, "v1")]
    [InlineData("""{"fail_start":false}""", "v1")]
    [InlineData("""{"version":"v7"}""", "v7")]
    public async Task Handle_AnyRequest_AnswersItsVersion(string? args, string version) =>
        Assert.Equal(version, await Create(args).HandleAsync(new DefaultHttpContext().Request, TestContext.Current.CancellationToken));

    [Theory]
    [InlineData("""{"version":"v2","fail_start":true}""", "Version 'v2' fails to start")]
    [InlineData("""{"fail_health_after_s":-1}""", "fail_health_after_s is -1: it must be from 0 to 86400 seconds.")]
    [InlineData("""{"fail_strat":true}""", "fail_strat")]
    public void Create_ArgsThatFail_SaysWhy(string args, string reason) =>
        Assert.Contains(reason, Assert.ThrowsAny<Exception>(() => Create(args)).Message, StringComparison.Ordinal);

    [Fact]
    public async Task CheckHealth_TimePasses_IsWellForSoLong()
    {
        FaultyDeployment faulty = Create("""{"fail_health_after_s":5}""");

        _clock.Advance(TimeSpan.FromSeconds(4.9));
        await faulty.CheckHealthAsync(TestContext.Current.CancellationToken);
        _clock.Advance(TimeSpan.FromSeconds(0.1));

        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(async () => await faulty.CheckHealthAsync(TestContext.Current.CancellationToken));
        Assert.Contains("is not well", error.Message, StringComparison.Ordinal);
    }

    private FaultyDeployment Create(string? args) => new(new("app", "Faulty", "r1", () => 0, args, _clock, NullLogger.Instance, null!));
}
