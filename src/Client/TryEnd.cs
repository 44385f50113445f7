using System.Net;
using System.Net.Http.Headers;
using System.Security.Authentication;

namespace Serve.Embedded.Client;

/// <summary>What is known of a try that has ended: whether another one could end better, and whether the server may have run it.</summary>
internal enum TryEnd
{
    /// <summary>Another try would end alike, or this one was good.</summary>
    Final,

    /// <summary>There was no connection to send it on.</summary>
    NothingSent,

    /// <summary>The server says that it has not run it.</summary>
    Refused,

    /// <summary>It failed, and nobody knows how far it had come.</summary>
    PerhapsRun,
}

/// <summary>Reads the end of a try from what it ended with.</summary>
internal static class TryEnds
{
    /// <summary>By which a server says that it has refused a request before anything of it was run, so that it can be sent again whatever it does.</summary>
    private const string NotRunHeader = "x-request-not-run";

    /// <param name="response">The try's.</param>
    /// <param name="retried">Statuses that another try may change.</param>
    /// <param name="wasTimed">The server was told how long the try may take: when it says that the time is over, it says what the client's own timer is about to say.</param>
    public static TryEnd Of(HttpResponseMessage response, IReadOnlyCollection<HttpStatusCode> retried, bool wasTimed) =>
        IsRefusal(response) ? TryEnd.Refused
        : retried.Contains(response.StatusCode) || (wasTimed && response.StatusCode == HttpStatusCode.RequestTimeout) ? TryEnd.PerhapsRun
        : TryEnd.Final;

    public static TryEnd Of(HttpRequestException failure) => failure.HttpRequestError switch
    {
        HttpRequestError.NameResolutionError or HttpRequestError.ConnectionError or HttpRequestError.ProxyTunnelError => TryEnd.NothingSent,

        // A certificate that is not trusted now will not be in a second; a server that dies in the handshake may be back.
        HttpRequestError.SecureConnectionError => failure.InnerException is AuthenticationException ? TryEnd.Final : TryEnd.NothingSent,
        HttpRequestError.ResponseEnded or HttpRequestError.HttpProtocolError => TryEnd.PerhapsRun,
        HttpRequestError.Unknown when failure.InnerException is IOException => TryEnd.PerhapsRun,
        _ => TryEnd.Final,
    };

    private static bool IsRefusal(HttpResponseMessage response) =>
        !response.IsSuccessStatusCode && response.Headers.NonValidated.TryGetValues(NotRunHeader, out HeaderStringValues values) && values.Count == 1 && values.ToString() == "?1";
}
