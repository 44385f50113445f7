using Microsoft.AspNetCore.Http;

namespace Serve.Embedded;

/// <summary>
/// Chooses which replicas a request prefers, in the place of the built-in choice (of two random ones the less busy). Set in <see cref="DeploymentOptions.Router"/>. Ray Serve's custom request router.
/// </summary>
/// <remarks>
/// It ranks, and admission decides: a request goes to the first replica of the ranking that has a free permit, and to any other that has one before it would wait. Called on the thread of every caller, at the
/// same time, before the request is admitted: be quick, and take no lock for long.
/// </remarks>
public interface IRequestRouter
{
    /// <summary>Ranks the replicas for one request.</summary>
    /// <param name="request">What is known of it.</param>
    /// <param name="replicas">The replicas that take requests now, one or more.</param>
    /// <param name="ranking">To be filled with places in <paramref name="replicas"/>, the best first; as long as that.</param>
    /// <returns>How many places were filled; 0 = no preference.</returns>
    /// <exception cref="Exception">Anything thrown, and a place that <paramref name="replicas"/> does not have, fails the request before it is admitted: over HTTP, 500.</exception>
    int Rank(in RoutedRequest request, ReadOnlySpan<ReplicaView> replicas, Span<int> ranking);
}

/// <summary>What a router is told of a request.</summary>
public readonly record struct RoutedRequest
{
    /// <summary>What the caller sends; <see langword="null"/> for a request from HTTP, whose body is not read yet.</summary>
    public object? Request { get; init; }

    /// <summary>The path below the application's route prefix, of a request from HTTP.</summary>
    public string? Path { get; init; }

    /// <summary>The headers of a request from HTTP.</summary>
    public IHeaderDictionary? Headers { get; init; }

    /// <summary>See <see cref="CurrentRequest.ModelId"/>.</summary>
    public string? ModelId { get; init; }

    /// <summary>See <see cref="CurrentRequest.SessionId"/>.</summary>
    public string? SessionId { get; init; }
}

/// <summary>One replica as a router sees it, at one instant.</summary>
public readonly struct ReplicaView
{
    private readonly Func<string, bool>? _holdsModel;

    /// <summary>A replica, to try a router with.</summary>
    /// <param name="id">See <see cref="Id"/>.</param>
    /// <param name="rank">See <see cref="Rank"/>.</param>
    /// <param name="ongoingRequests">See <see cref="OngoingRequests"/>.</param>
    /// <param name="maxOngoingRequests">See <see cref="MaxOngoingRequests"/>.</param>
    /// <param name="holdsModel">See <see cref="HoldsModel"/>; <see langword="null"/> (default) = it has no models.</param>
    public ReplicaView(string id, int rank, int ongoingRequests, int maxOngoingRequests, Func<string, bool>? holdsModel = null)
    {
        Id = id;
        Rank = rank;
        OngoingRequests = ongoingRequests;
        MaxOngoingRequests = maxOngoingRequests;
        _holdsModel = holdsModel;
    }

    /// <summary>See <see cref="DeploymentContext.ReplicaId"/>.</summary>
    public string Id { get; }

    /// <summary>See <see cref="DeploymentContext.Rank"/>.</summary>
    public int Rank { get; }

    /// <summary>Requests that it works on.</summary>
    public int OngoingRequests { get; }

    /// <summary>Requests that it works on at the most.</summary>
    public int MaxOngoingRequests { get; }

    /// <summary>Whether it has the model, or is loading it.</summary>
    public bool HoldsModel(string modelId) => _holdsModel is not null && _holdsModel(modelId);
}
