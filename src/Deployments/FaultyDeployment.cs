using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Deployments;

/// <summary><c>builtin:faulty</c>: answers <c>args.version</c>, and fails as its <c>args</c> say. Made for watching rollouts fail.</summary>
internal sealed class FaultyDeployment : IDeployment<HttpRequest, string>, IHealthChecked
{
    private readonly FaultyArgs _args;
    private readonly TimeProvider _time;
    private readonly long _startedAt;

    public FaultyDeployment(DeploymentContext context)
    {
        _args = context.Args is { } args ? OperatorJson.Read(args, FaultyJson.Default.FaultyArgs, "args") : new();
        if (!(_args.FailHealthAfterS is null or (>= 0 and <= 86_400)))
        {
            throw new ArgumentException($"fail_health_after_s is {_args.FailHealthAfterS}: it must be from 0 to 86400 seconds.");
        }

        Log.FaultyStarts(context.Logger, _args.Version);
        if (_args.FailStart)
        {
            throw new InvalidOperationException($"Version '{_args.Version}' fails to start, as its args ask for with fail_start.");
        }

        _time = context.Time;
        _startedAt = _time.GetTimestamp();
    }

    public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new(_args.Version);

    public ValueTask CheckHealthAsync(CancellationToken cancellationToken) =>
        _args.FailHealthAfterS is { } seconds && _time.GetElapsedTime(_startedAt).TotalSeconds >= seconds
            ? throw new InvalidOperationException($"Version '{_args.Version}' is not well, as its args ask for with fail_health_after_s = {seconds}.")
            : ValueTask.CompletedTask;
}

/// <summary>The <c>args</c> of <see cref="FaultyDeployment"/>.</summary>
internal sealed record FaultyArgs
{
    /// <summary>Set and not init, whose default the generated reader forgets.</summary>
    public string Version { get; set; } = "v1";

    /// <summary>No replica comes up.</summary>
    public bool FailStart { get; init; }

    /// <summary>A replica is well for so long, and then no more; <see langword="null"/> = it stays well.</summary>
    public double? FailHealthAfterS { get; init; }
}

[JsonSerializable(typeof(FaultyArgs))]
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    RespectNullableAnnotations = true)]
internal sealed partial class FaultyJson : JsonSerializerContext;
