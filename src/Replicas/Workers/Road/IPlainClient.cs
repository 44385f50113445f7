using System.Buffers;
using System.IO.Pipelines;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Who has sent a plain request, for the road to a worker.</summary>
internal interface IPlainClient
{
    PlainRequest Request { get; }

    /// <summary>The whole of the request's body.</summary>
    ReadOnlySequence<byte> Body { get; }

    /// <summary>The part of its path that is the application's; <see langword="null"/> or <c>/</c> = none.</summary>
    string? Prefix { get; }

    string RequestId { get; }

    /// <inheritdoc cref="IWorkerCall.MayBeSentAgain"/>
    bool MayBeSentAgain { get; }

    DateTimeOffset Now { get; }

    /// <summary>Its address, as it is written in headers.</summary>
    ReadOnlySpan<byte> Address { get; }

    /// <summary>Which loop's its connection is.</summary>
    EventLoop Loop { get; }

    /// <summary>Takes the response, byte for byte.</summary>
    PipeWriter Output { get; }

    /// <summary>The worker has begun to answer.</summary>
    /// <param name="statusCode">What it answers.</param>
    /// <param name="isStreamed">Whether nobody knows how long the body is.</param>
    /// <returns>Whether the connection closes after the response.</returns>
    bool ResponseBegins(int statusCode, bool isStreamed);

    /// <summary>Sends what was written, and waits while the client takes it more slowly.</summary>
    /// <exception cref="OperationCanceledException">It takes no more.</exception>
    ValueTask FlushAsync();
}
