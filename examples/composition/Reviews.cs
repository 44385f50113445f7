using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Serve.Embedded;

namespace Composition;

/// <summary>The ingress: reads a review, asks both models at the same time, and puts their answers together.</summary>
/// <remarks>
/// What a model refuses is refused by the ingress, with the model's status and Retry-After; when the client leaves or its time is over, both calls are cancelled.
/// </remarks>
public sealed class Reviews(
    [FromKeyedServices("Sentiment")] DeploymentHandle<string, double> sentiment,
    [FromKeyedServices("Language")] DeploymentHandle<string, string> language) : IDeployment<HttpRequest, Review>
{
    public async ValueTask<Review> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        using StreamReader body = new(request.Body);
        string text = await body.ReadToEndAsync(cancellationToken);
        Task<double> score = sentiment.CallAsync(text, cancellationToken).AsTask();
        Task<string> tongue = language.CallAsync(text, cancellationToken).AsTask();
        await Task.WhenAll(score, tongue);
        return new(await tongue, await score);
    }
}

public sealed record Review(string Language, double Sentiment);

[JsonSerializable(typeof(Review))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
internal sealed partial class ReviewJson : JsonSerializerContext;
