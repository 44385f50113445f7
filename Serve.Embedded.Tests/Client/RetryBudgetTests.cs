using Serve.Embedded.Client;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Client;

public sealed class RetryBudgetTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public void TryWithdraw_AtFirst_GivesTheBurstAndNoMore()
    {
        RetryBudget budget = new(0.5, 0, 3, _time);

        Assert.Equal(3, Take(budget, 10));
    }

    [Fact]
    public void Deposit_ShareOfEachRequest_IsWhatThereIs()
    {
        RetryBudget budget = new(0.25, 0, 3, _time);
        Take(budget, 3);

        for (int i = 0; i < 11; i++)
        {
            budget.Deposit();
        }

        Assert.Equal(2, Take(budget, 10));
    }

    [Fact]
    public void TryWithdraw_TimeHasPassed_GivesItsShare()
    {
        RetryBudget budget = new(0, 0.5, 3, _time);
        Take(budget, 3);

        _time.Advance(TimeSpan.FromSeconds(1.999));
        Assert.Equal(0, Take(budget, 1));
        _time.Advance(TimeSpan.FromSeconds(0.002));
        Assert.Equal(1, Take(budget, 10));
    }

    /// <summary>Asking often must not lose what is less than a token.</summary>
    [Fact]
    public void TryWithdraw_AskedAllTheTime_StillGivesTimesShare()
    {
        RetryBudget budget = new(0, 1, 1, _time);
        Take(budget, 1);
        int given = 0;

        for (int i = 0; i < 100_000; i++)
        {
            _time.Advance(TimeSpan.FromTicks(1_000));
            given += Take(budget, 1);
        }

        Assert.InRange(given, 9, 10);
    }

    /// <summary>What a client earned through a quiet hour is not there for a storm; what it earned in the last seconds is.</summary>
    [Fact]
    public void Savings_OfRequestsFade_AndThoseOfTimeAreBounded()
    {
        RetryBudget budget = new(1, 100, 5, _time);
        for (int i = 0; i < 1000; i++)
        {
            budget.Deposit();
        }

        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(5 + 367, Take(budget, 1000));
        budget.Deposit();
        _time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(5, Take(budget, 1000));
    }

    private static int Take(RetryBudget budget, int times) => Enumerable.Range(0, times).Count(_ => budget.TryWithdraw());
}
