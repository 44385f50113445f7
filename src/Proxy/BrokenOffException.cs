namespace Serve.Embedded.Proxy;

/// <summary>What a host is told of a request that failed after its response had begun. Nobody can answer it any more, and whoever logs it last is to say which request it was.</summary>
/// <param name="requestId">Its id, which its client has.</param>
/// <param name="exception">Why.</param>
internal sealed class BrokenOffException(string requestId, Exception exception)
    : Exception($"Request {requestId} failed after its response had begun, and its connection is broken off: {exception.Message}", exception);
