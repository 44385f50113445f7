using System.Collections.Concurrent;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Serve.Embedded;

namespace OwnBinary;

/// <summary>Stands for a model: it blocks its thread for a while, takes typed settings, and says so when it is stuck.</summary>
internal sealed class Model(TimeProvider time) : IBlockingDeployment<HttpRequest, Answer>, IReconfigurable<ModelSettings>, IHealthChecked
{
    private readonly ConcurrentDictionary<HttpRequest, long> _running = new();
    private ModelSettings _settings = new();

    public JsonTypeInfo<ModelSettings> UserConfigJson => ModelJson.Default.ModelSettings;

    public Answer Handle(HttpRequest request, CancellationToken cancellationToken)
    {
        ModelSettings settings = Volatile.Read(ref _settings);
        _running[request] = time.GetTimestamp();
        try
        {
            // A native library that cannot be interrupted is like this with no token.
            CancellationToken heard = settings.IgnoresCancellation ? CancellationToken.None : cancellationToken;
            Task.Delay(TimeSpan.FromSeconds(settings.WorkS), time, heard).GetAwaiter().GetResult();
            return new($"{settings.Greeting}, {request.Query["name"].FirstOrDefault() ?? "world"}!");
        }
        finally
        {
            _running.TryRemove(request, out _);
        }
    }

    /// <summary>Whatever this throws refuses the change, and the operator reads why.</summary>
    public ValueTask ReconfigureAsync(ModelSettings userConfig, CancellationToken cancellationToken)
    {
        if (userConfig.WorkS is not (>= 0 and <= 86_400))
        {
            throw new ArgumentException($"work_s is {userConfig.WorkS}: it must be from 0 to 86400 seconds.");
        }

        Volatile.Write(ref _settings, userConfig);
        return ValueTask.CompletedTask;
    }

    /// <summary>After three failed checks in a row another replica takes this one's place.</summary>
    public ValueTask CheckHealthAsync(CancellationToken cancellationToken)
    {
        TimeSpan most = TimeSpan.FromSeconds(Volatile.Read(ref _settings).StuckAfterS);
        return _running.Values.Any(began => time.GetElapsedTime(began) > most)
            ? throw new InvalidOperationException($"A request has run for more than {most.TotalSeconds} s.")
            : ValueTask.CompletedTask;
    }
}

/// <summary>What the operator writes as <c>user_config</c>. A key that is not here is refused. Properties are set, not init: the generated reader of JSON would forget the defaults of those.</summary>
internal sealed record ModelSettings
{
    public string Greeting { get; set; } = "Hello";

    public double WorkS { get; set; } = 0.05;

    public bool IgnoresCancellation { get; set; }

    public double StuckAfterS { get; set; } = 60;
}

/// <summary>What callers get, as JSON.</summary>
internal sealed record Answer(string Text);

[JsonSerializable(typeof(ModelSettings))]
[JsonSerializable(typeof(Answer))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
internal sealed partial class ModelJson : JsonSerializerContext;
