using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Handles;

public sealed class RetryAfterTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly ManualTimeProvider _clock = new();
    private readonly FixedRandom _random = new();
    private readonly AdmissionGate _gate;
    private readonly Handle _handle;
    private int _replicas;

    public RetryAfterTests()
    {
        _gate = new(new ServeEnvironment(_clock, _random, static item => item.Execute(), NullLoggerFactory.Instance));
        _handle = _gate.AddHandle(-1);
    }

    [Theory]
    [InlineData(10, 0.0, 8)]
    [InlineData(10, 0.5, 10)]
    [InlineData(10, 0.75, 11)]
    [InlineData(5, 0.0, 4)]
    [InlineData(5, 0.999, 6)]
    [InlineData(7.5, 0.5, 8)]
    [InlineData(60, 0.0, 48)]
    [ContractRow(12)]
    public void Jittered_Draw_IsExact(double seconds, double draw, int expected) => Assert.Equal(expected, RetryAfter.Jittered(seconds, draw));

    [Theory]
    [InlineData(7.0, 7)]
    [InlineData(0.0, 0)]
    [InlineData(0.2, 1)]
    [InlineData(600.0, 600)]
    public void Seconds_OperatorsWord_IsTakenAsItIs(double written, int expected)
    {
        _random.Draw = 0.999;
        Assert.Equal(expected, _gate.RetryAfter.Seconds(_gate, written));
    }

    [Fact]
    public void Seconds_NothingKnown_IsOne()
    {
        _random.Draw = 0.0;
        Assert.Equal(1, Seconds());
    }

    /// <summary>Before the rate is known: mean service time x depth / permits.</summary>
    [Fact]
    public void Seconds_OnlyTheServiceTimeIsKnown_IsTheWorkThatWaits()
    {
        AddReplica(2);
        AddReplica(2);
        _gate.RetryAfter.Served(4 * Second);
        Wait(10);

        // 6 wait, 4 run: 4 s x 6 / 4.
        Assert.Equal(6, _gate.Waiting);
        Assert.Equal(6, Seconds());
    }

    [Fact]
    public void Served_Several_IsASlowlyMovingMean()
    {
        _gate.RetryAfter.Served(10 * Second);
        _gate.RetryAfter.Served(20 * Second);
        Assert.Equal(11, Seconds());
    }

    /// <summary>Service times are taken where the last permit was claimed or somebody waited, and nowhere else.</summary>
    [Fact]
    public void Release_Saturated_TeachesTheServiceTime()
    {
        AddReplica(2);
        RequestLease plain = _gate.Admit(_handle).Lease;
        RequestLease last = _gate.Admit(_handle).Lease;
        _clock.Advance(8 * Second);
        plain.End(RequestEnd.Completed);
        Assert.Equal(1, Seconds());
        last.End(RequestEnd.Completed);
        Assert.Equal(4, Seconds());
    }

    [Theory]
    [InlineData(0.0, 48)]
    [InlineData(0.5, 60)]
    [InlineData(0.999, 60)]
    [ContractRow(12)]
    public void Seconds_DepthOfAThousandAtOneASecond_IsClampedBeforeAndAfterTheJitter(double draw, int expected)
    {
        Warm(perSecond: 1, depth: 1000);
        _random.Draw = draw;
        Assert.Equal(expected, Seconds());
    }

    [Fact]
    [ContractRow(12)]
    public void Seconds_RateKnown_IsDepthOverRate()
    {
        Warm(perSecond: 5, depth: 100);
        _gate.RetryAfter.Served(50 * Second);
        Assert.Equal(20, Seconds());
    }

    /// <summary>A deployment that hangs drains nothing: the rate says never, so the service time is asked.</summary>
    [Fact]
    [ContractRow(12)]
    public void Seconds_RateIsZero_FallsBackToTheServiceTime()
    {
        AddReplica(1);
        Wait(21);
        _gate.RetryAfter.Served(2 * Second);
        _clock.Advance(4 * Second);
        Assert.Equal(40, Seconds());
    }

    [Fact]
    public void Admit_NobodyWaits_SamplesNothing()
    {
        AddReplica(1);
        _gate.Admit(_handle).Lease.End(RequestEnd.Completed);
        Assert.Equal(0, _clock.ArmedTimers);
    }

    [Fact]
    public void Admit_SomebodyWaitsOrIsRefused_SamplesUntilItHasBeenIdle()
    {
        _handle.MaxQueued = 0;
        Assert.Equal(AdmissionKind.Refused, _gate.Admit(_handle).Kind);
        Assert.Equal(1, _clock.ArmedTimers);
        _clock.Advance(9 * Second);
        Assert.Equal(1, _clock.ArmedTimers);
        _clock.Advance(Second);
        Assert.Equal(0, _clock.ArmedTimers);

        _handle.MaxQueued = 1;
        Waiter waiter = _gate.Admit(_handle).Waiter!;
        _clock.Advance(100 * Second);
        Assert.Equal(1, _clock.ArmedTimers);
        waiter.TryLeave(WaitEnd.Cancelled);
        _clock.Advance(10 * Second);
        Assert.Equal(0, _clock.ArmedTimers);
    }

    [Fact]
    public void Dispose_WhileItSamples_NeverTicksAgain()
    {
        Wait(1);
        _gate.RetryAfter.Dispose();
        Assert.Equal(0, _clock.ArmedTimers);
        Wait(1);
        _clock.Advance(20 * Second);
        Assert.Equal(0, _clock.ArmedTimers);
    }

    private int Seconds() => _gate.RetryAfter.Seconds(_gate, null);

    private void AddReplica(int limit) => _gate.AddReplica(TestGate.NewReplica($"r{_replicas++}", _clock), limit);

    private void Wait(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _gate.Admit(_handle);
        }
    }

    /// <summary>Three seconds in each of which so many leave the queue, and so many still wait at the end.</summary>
    private void Warm(int perSecond, int depth)
    {
        AddReplica(1);
        RequestLease running = _gate.Admit(_handle).Lease;
        List<Waiter> waiters = [];
        for (int i = 0; i < depth + (3 * perSecond); i++)
        {
            waiters.Add(_gate.Admit(_handle).Waiter!);
        }

        for (int i = 0; i < 3 * perSecond; i++)
        {
            running.End(RequestEnd.Completed);
            running = waiters[i].Lease;
            if ((i + 1) % perSecond == 0)
            {
                _clock.Advance(Second);
            }
        }

        Assert.Equal(depth, _gate.Waiting);
    }

    private sealed class FixedRandom : Random
    {
        public double Draw { get; set; } = 0.5;

        public override double NextDouble() => Draw;

        public override int Next(int maxValue) => 0;
    }
}
