namespace Serve.Embedded.Replicas.Workers;

/// <summary>What a worker answered to a question of the server's own.</summary>
/// <param name="StatusCode">Its status.</param>
/// <param name="Body">The beginning of its body.</param>
internal readonly record struct WorkerAnswer(int StatusCode, string Body)
{
    public bool IsGood => StatusCode is >= 200 and < 400;
}
