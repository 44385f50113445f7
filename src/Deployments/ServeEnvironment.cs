using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Deployments;

/// <summary>What everything else takes from outside, so that a test owns the clock, the chance and the threads.</summary>
/// <param name="Time">The only clock.</param>
/// <param name="Random">The only source of chance; thread-safe.</param>
/// <param name="Resume">Runs the continuation of a waiter that was admitted or ended, never on the stack of whoever ended its wait.</param>
/// <param name="Loggers">Where log lines go.</param>
/// <param name="OnEventThreads">
/// What comes over a socket is handled on the thread that learns of it, and not in the thread pool: that saves each request several changes of threads, and is only for code that never blocks.
/// </param>
internal sealed record ServeEnvironment(TimeProvider Time, Random Random, Action<IThreadPoolWorkItem> Resume, ILoggerFactory Loggers, bool OnEventThreads = false)
{
    /// <summary>The container that handlers take their services from; <see langword="null"/> = the server makes one of its own when the first handler asks for services.</summary>
    public Lazy<IServiceProvider>? Services { get; init; }

    /// <summary>What is told to those who measure and trace.</summary>
    public ServeTelemetry Telemetry { get; init; } = ServeTelemetry.Silent;

    /// <summary>The thread pool, on the queue of the thread that gave the permit back: it has just finished and is the first to be free.</summary>
    public static void ResumeOnThreadPool(IThreadPoolWorkItem item) => ThreadPool.UnsafeQueueUserWorkItem(item, preferLocal: true);
}
