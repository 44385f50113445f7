using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Deployments;

/// <summary><c>builtin:slow</c>: blocks for <c>user_config.delay_s</c> seconds and answers <c>user_config.message</c>. Made for watching queues fill.</summary>
internal sealed class SlowDeployment(TimeProvider time) : IBlockingDeployment<HttpRequest, string>, IReconfigurable
{
    private SlowConfig _config = new();

    public string Handle(HttpRequest request, CancellationToken cancellationToken)
    {
        SlowConfig config = Volatile.Read(ref _config);
        Task.Delay(TimeSpan.FromSeconds(config.DelayS), time, cancellationToken).GetAwaiter().GetResult();
        return config.Message;
    }

    public ValueTask ReconfigureAsync(JsonElement userConfig, CancellationToken cancellationToken)
    {
        SlowConfig config = OperatorJson.Read(userConfig, SlowJson.Default.SlowConfig, "user_config");
        if (!(config.DelayS >= 0 && config.DelayS <= 86_400))
        {
            throw new ArgumentException($"delay_s is {config.DelayS}: it must be from 0 to 86400 seconds.");
        }

        Volatile.Write(ref _config, config);
        return ValueTask.CompletedTask;
    }
}

/// <summary>The <c>user_config</c> of <see cref="SlowDeployment"/>. Set and not init, whose defaults the generated reader forgets.</summary>
internal sealed record SlowConfig
{
    public string Message { get; set; } = "Hello!";

    public double DelayS { get; set; } = 2.0;
}

[JsonSerializable(typeof(SlowConfig))]
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    RespectNullableAnnotations = true)]
internal sealed partial class SlowJson : JsonSerializerContext;
