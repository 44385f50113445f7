using Microsoft.AspNetCore.Http;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Controller;

/// <summary>A handler that the controller takes for a process. How it ends is for <see cref="FakeActs"/> to tell.</summary>
internal sealed class FakeProcess : IDeployment<HttpRequest, string>, IHealthChecked, IReplicaProcess
{
    public Task<string> Ended { get; } = new TaskCompletionSource<string>().Task;

    public bool HasServed { get; set; }

    public Task<string> WornOut { get; } = new TaskCompletionSource<string>().Task;

    public Action? OnDoubt { get; set; }

    public TimeSpan? CheckTimeout { get; set; }

    public int? ProcessId => null;

    public long? ResidentBytes => null;

    public IReadOnlyList<string> LastWords => ["the disk is missing"];

    public IReadOnlyList<string> Refused => [];

    public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new("ok");

    public ValueTask CheckHealthAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public Task StartAsync(string? userConfig, CancellationToken cancellationToken) => Task.CompletedTask;

    public void LimitIs(int maxOngoingRequests)
    {
    }

    public Task StopAsync(TimeSpan grace) => Task.CompletedTask;
}
