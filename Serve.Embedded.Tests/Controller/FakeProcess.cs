using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Controller;

/// <summary>A handler that the controller takes for a process. How it ends is for <see cref="FakeActs"/> to tell, where these act.</summary>
internal sealed class FakeProcess : IDeployment<HttpRequest, string>, IHealthChecked, IReconfigurable, IReplicaProcess
{
    private readonly TaskCompletionSource<string> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private bool _hasEnded;

    public Task<string> Ended => _ended.Task;

    /// <summary>Its end is told once somebody has asked for it.</summary>
    public bool HasEnded
    {
        get
        {
            if (_hasEnded)
            {
                _ended.TrySetResult("exit code 3");
            }

            return _hasEnded;
        }
    }

    /// <summary>It ends as soon as it has taken a <c>user_config</c>.</summary>
    public bool DiesOfUserConfig { get; set; }

    /// <summary>It ends of a <c>user_config</c> before it has answered to it, and its end is told a moment later.</summary>
    public bool EndsInReconfigure { get; set; }

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

    public ValueTask ReconfigureAsync(JsonElement userConfig, CancellationToken cancellationToken)
    {
        _hasEnded |= DiesOfUserConfig;
        if (EndsInReconfigure)
        {
            _ended.SetResult("exit code 3");
            throw new WorkerFailedException("The worker closed the connection before it answered.");
        }

        return ValueTask.CompletedTask;
    }

    public Task StartAsync(string? userConfig, CancellationToken cancellationToken) => Task.CompletedTask;

    public void LimitIs(int maxOngoingRequests)
    {
    }

    public Task StopAsync(TimeSpan grace) => Task.CompletedTask;
}
