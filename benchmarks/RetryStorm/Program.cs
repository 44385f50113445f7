// Many clients against a server that cannot serve them all: how much of what it can do comes to good, and how soon all is well when the rush is over.
//
// Usage: RetryStorm MODE URL [CLIENTS] [SECONDS_OF_OVERLOAD] [TIMES_CAPACITY]
// MODE   handler: ServeClientHandler; loop: at once again until it is answered or its time is over; fixed: the same after 100 ms each; once: no retries
// First it finds out what the server can do (16 clients without a pause). Then requests arrive by chance, independent of their answers: at half of that, at so many times that (10), at half again.
// Prints: "RESULT <goodput / capacity> <tries per request> <seconds until all is well> <capacity per s> <answered, of requests of the overload> <p99 of what is answered in it, ms>"
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using Serve.Embedded;

string mode = args[0];
Uri url = new(args[1]);
int count = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 1000;
double seconds = args.Length > 3 ? double.Parse(args[3], CultureInfo.InvariantCulture) : 10;
double times = args.Length > 4 ? double.Parse(args[4], CultureInfo.InvariantCulture) : 10;

double capacity = await Storm.CapacityAsync(url);
Storm storm = new(mode, url, count);
await storm.PassAsync(capacity / 2, 2);
double from = storm.Now;
await storm.PassAsync(capacity * times, seconds);
double to = storm.Now;
await storm.PassAsync(capacity / 2, 12);
IReadOnlyList<Outcome> outcomes = await storm.EndAsync();

Outcome[] overload = [.. outcomes.Where(o => o.Arrived >= from && o.Arrived < to)];
double goodput = outcomes.Count(o => o.Answered && o.Ended >= from && o.Ended < to) / (to - from);
double[] latencies = [.. overload.Where(static o => o.Answered).Select(static o => (o.Ended - o.Arrived) * 1000).Order()];

// All is well from when on those who arrive are answered at their first try.
double well = outcomes.Where(o => o.Arrived >= to && !(o.Answered && o.Tries == 1)).Select(o => o.Arrived - to).DefaultIfEmpty(0).Max();
Console.WriteLine(string.Create(
    CultureInfo.InvariantCulture,
    $"RESULT {goodput / capacity:F3} {overload.Average(static o => o.Tries):F2} {well:F2} {capacity:F0} {(double)latencies.Length / overload.Length:F3} {latencies.ElementAtOrDefault(latencies.Length * 99 / 100):F0}"));

/// <summary>One request of a user.</summary>
internal readonly record struct Outcome(double Arrived, double Ended, bool Answered, int Tries);

/// <summary>The clients, each with connections, a budget and arrivals of its own.</summary>
internal sealed class Storm
{
    /// <summary>Seconds that a user waits for an answer.</summary>
    public const double Patience = 3;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly HttpClient[] _clients;
    private readonly Func<HttpClient, CancellationToken, Task<(bool Answered, int Tries)>> _ask;
    private readonly ConcurrentBag<Outcome> _outcomes = [];
    private readonly long _start = Stopwatch.GetTimestamp();
    private int _running;

    public Storm(string mode, Uri url, int count)
    {
        _ask = mode switch
        {
            "handler" => AskAsync,
            "once" => AskAsync,
            "loop" => (client, left) => LoopAsync(client, TimeSpan.Zero, left),
            "fixed" => (client, left) => LoopAsync(client, Pause, left),
            _ => throw new ArgumentException($"There is no mode '{mode}'. There are: handler, loop, fixed, once."),
        };
        _clients = [.. Enumerable.Range(0, count).Select(_ =>
        {
            SocketsHttpHandler sockets = new() { UseProxy = false, MaxConnectionsPerServer = 4 };
            return new HttpClient(mode == "handler" ? new ServeClientHandler(sockets, new() { Timeout = TimeSpan.FromSeconds(Patience) }) : sockets) { BaseAddress = url };
        })];
    }

    public double Now => Stopwatch.GetElapsedTime(_start).TotalSeconds;

    /// <summary>What 16 clients without a pause get answered in two seconds, each second.</summary>
    public static async Task<double> CapacityAsync(Uri url)
    {
        using HttpClient client = new(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = url };
        (await client.GetAsync("/")).Dispose();
        long start = Stopwatch.GetTimestamp();
        int[] answered = await Task.WhenAll(Enumerable.Range(0, 16).Select(async _ =>
        {
            int n = 0;
            while (Stopwatch.GetElapsedTime(start).TotalSeconds < 2)
            {
                using HttpResponseMessage response = await client.GetAsync("/");
                n += response.IsSuccessStatusCode ? 1 : throw new InvalidOperationException("16 clients are more than the server takes: it must be able to queue them.");
            }

            return n;
        }));
        return answered.Sum() / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>So many requests a second arrive over all clients, for so long.</summary>
    public async Task PassAsync(double perSecond, double seconds)
    {
        double end = Now + seconds;
        await Task.WhenAll(_clients.Select((client, i) => Task.Run(async () =>
        {
            Random random = new(i);
            double at = Now;
            while ((at -= Math.Log(1 - random.NextDouble()) * _clients.Length / perSecond) < end)
            {
                if (at - Now is > 0 and double early)
                {
                    await Task.Delay(TimeSpan.FromSeconds(early));
                }

                Interlocked.Increment(ref _running);
                _ = RequestAsync(client);
            }
        })));
        while (Now < end)
        {
            await Task.Delay(1);
        }
    }

    /// <summary>When the last request has ended.</summary>
    public async Task<IReadOnlyList<Outcome>> EndAsync()
    {
        while (Volatile.Read(ref _running) > 0)
        {
            await Task.Delay(10);
        }

        return [.. _outcomes];
    }

    private async Task RequestAsync(HttpClient client)
    {
        double arrived = Now;
        using CancellationTokenSource left = new(TimeSpan.FromSeconds(Patience));
        (bool answered, int tries) = await _ask(client, left.Token);
        double ended = Now;
        _outcomes.Add(new(arrived, ended, answered && ended - arrived <= Patience, tries));
        Interlocked.Decrement(ref _running);
    }

    private static async Task<(bool Answered, int Tries)> AskAsync(HttpClient client, CancellationToken left)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, "/");
        bool answered = false;
        try
        {
            using HttpResponseMessage response = await client.SendAsync(request, left);
            answered = response.StatusCode == HttpStatusCode.OK;
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
        }

        return (answered, request.Options.TryGetValue(ServeClientHandler.Tries, out int tries) ? tries : 1);
    }

    private static async Task<(bool Answered, int Tries)> LoopAsync(HttpClient client, TimeSpan pause, CancellationToken left)
    {
        for (int tries = 1; ; tries++)
        {
            if ((await AskAsync(client, left)).Answered)
            {
                return (true, tries);
            }

            if (left.IsCancellationRequested)
            {
                return (false, tries);
            }

            if (pause > TimeSpan.Zero)
            {
                await Task.Delay(pause, CancellationToken.None);
            }
        }
    }
}
