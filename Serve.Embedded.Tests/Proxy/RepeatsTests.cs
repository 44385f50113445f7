using Serve.Embedded.Config;
using Serve.Embedded.Proxy;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Proxy;

public sealed class RepeatsTests
{
    [Theory]
    [InlineData("GET", "Idempotent", true)]
    [InlineData("PUT", "Idempotent", true)]
    [InlineData("DELETE", "Idempotent", true)]
    [InlineData("POST", "Idempotent", false)]
    [InlineData("PATCH", "Idempotent", false)]
    [InlineData("PROPFIND", "Idempotent", false)]
    [InlineData("POST", "Always", true)]
    [InlineData("GET", "Never", false)]
    public void MayRepeat_ItWasSent_OnceAndAsTheOperatorSays(string method, string mode, bool repeats)
    {
        Repeats subject = default;

        Assert.Equal(repeats, subject.MayRepeat(Failure(nothingSent: false), method, Enum.Parse<RetryMode>(mode)));
        Assert.False(subject.MayRepeat(Failure(nothingSent: false), method, Enum.Parse<RetryMode>(mode)));
    }

    [Theory]
    [InlineData("POST", "Never")]
    [InlineData("GET", "Idempotent")]
    public void MayRepeat_NothingWasSent_WhateverTheMethodAndNotForEver(string method, string mode)
    {
        Repeats subject = default;

        Assert.Equal(8, Enumerable.Range(0, 20).Count(_ => subject.MayRepeat(Failure(nothingSent: true), method, Enum.Parse<RetryMode>(mode))));
    }

    [Fact]
    public void MayRepeat_ItsBodyIsGone_Never()
    {
        Repeats subject = default;

        Assert.False(subject.MayRepeat(Failure(nothingSent: false, canRepeat: false), "PUT", RetryMode.Always));
    }

    /// <summary>Only a request that no worker can have seen may be refused with the promise that it was not run.</summary>
    [Fact]
    public void WasSent_OnceAWorkerMayHaveRunIt()
    {
        Repeats subject = default;

        Assert.True(subject.MayRepeat(Failure(nothingSent: true), "POST", RetryMode.Idempotent));
        Assert.False(subject.WasSent);
        Assert.True(subject.MayRepeat(Failure(nothingSent: false), "GET", RetryMode.Idempotent));
        Assert.True(subject.WasSent);
    }

    private static WorkerFailedException Failure(bool nothingSent, bool canRepeat = true) => new("no") { NothingSent = nothingSent, CanRepeat = canRepeat };
}
