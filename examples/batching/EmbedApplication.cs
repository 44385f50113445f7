using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Serve.Embedded;

namespace Batching;

/// <summary>Texts in, vectors out: one text with each request, up to 32 of them with each call of the model.</summary>
internal static class EmbedApplication
{
    private const int LongestText = 10_000;

    public static void Build(ApplicationBuilder app) => app.AddBatch<string, float[]>(
        "Embed",
        context => new Embedder(context),
        new() { MaxBatchSize = 32, BatchWaitTimeout = TimeSpan.FromMilliseconds(5) },
        responseJson: EmbedJson.Default.SingleArray,
        fromHttp: ReadTextAsync);

    private static async ValueTask<string> ReadTextAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        if (request.ContentLength is not (> 0 and <= LongestText))
        {
            throw new BadHttpRequestException($"Send a text of 1 to {LongestText} bytes.");
        }

        using StreamReader body = new(request.Body, Encoding.UTF8);
        return await body.ReadToEndAsync(cancellationToken);
    }
}

/// <summary>Stands for a model on a GPU: a call takes as long for one text as for many.</summary>
internal sealed class Embedder(DeploymentContext context) : IBatchDeployment<string, float[]>, IReconfigurable
{
    private static readonly TimeSpan CallTime = TimeSpan.FromMilliseconds(20);

    public async ValueTask<IReadOnlyList<float[]>> HandleBatchAsync(IReadOnlyList<string> batch, CancellationToken cancellationToken)
    {
        await Task.Delay(CallTime, context.Time, cancellationToken);
        return [.. batch.Select(text => new float[] { text.Length, text.Count(char.IsUpper), batch.Count })];
    }

    /// <summary>The size of a batch is the operator's to tune while the server runs: <c>user_config = { max_batch_size = 8 }</c> and SIGHUP.</summary>
    public ValueTask ReconfigureAsync(JsonElement userConfig, CancellationToken cancellationToken)
    {
        context.Batching.MaxBatchSize = userConfig.GetProperty("max_batch_size").GetInt32();
        return ValueTask.CompletedTask;
    }
}

[JsonSerializable(typeof(float[]))]
internal sealed partial class EmbedJson : JsonSerializerContext;
