using Serve.Embedded;

namespace Composition;

/// <summary>Stands for a model that keeps a processor busy: a replica works on one text at a time, on a thread of its own.</summary>
public sealed class SentimentModel(TimeProvider time) : IBlockingDeployment<string, double>
{
    private static readonly TimeSpan ThinkingTime = TimeSpan.FromSeconds(1);
    private static readonly string[] Kind = ["good", "great", "gut", "prima"];
    private static readonly string[] Unkind = ["bad", "awful", "schlecht"];

    public double Handle(string request, CancellationToken cancellationToken)
    {
        Task.Delay(ThinkingTime, time, cancellationToken).GetAwaiter().GetResult();
        string[] words = request.ToLowerInvariant().Split([' ', '.', ',', '!', '\n'], StringSplitOptions.RemoveEmptyEntries);
        return words.Count(Kind.Contains) - words.Count(Unkind.Contains);
    }
}

/// <summary>Stands for a small and quick model.</summary>
public sealed class LanguageModel : IDeployment<string, string>
{
    public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken) =>
        new(request.Contains(" ist ", StringComparison.OrdinalIgnoreCase) || request.Contains("sehr", StringComparison.OrdinalIgnoreCase) ? "de" : "en");
}
