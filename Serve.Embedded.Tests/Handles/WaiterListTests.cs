using Serve.Embedded.Handles;

namespace Serve.Embedded.Tests.Handles;

public sealed class WaiterListTests
{
    private readonly TestGate _test = new();

    /// <summary>Every operation, in an order of chance, beside a list that is plainly right.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void List_AnyOperations_HoldsAndCountsWhatAPlainListDoes(int seed)
    {
        Random random = new(seed);
        Handle handle = _test.Gate.AddHandle(-1);
        WaiterList list = new();
        List<Waiter> model = [];
        for (int i = 0; i < 5000; i++)
        {
            switch (random.Next(6))
            {
                case 0:
                    model.Insert(0, Come(handle));
                    list.AddFirst(model[0]);
                    break;
                case 1 or 2:
                    model.Add(Come(handle));
                    list.AddLast(model[^1]);
                    break;
                case 3:
                    Assert.Same(model.FirstOrDefault(), list.TakeFirst());
                    model = [.. model.Skip(1)];
                    break;
                case 4 when model.Count > 0:
                    model[random.Next(model.Count)].TryLeave(WaitEnd.Cancelled);
                    break;
                case 5 when random.Next(4) == 0:
                    Assert.Equal(model.RemoveAll(static w => !w.IsWaiting), list.Sweep());
                    break;
            }

            Assert.Equal(model.Count, list.Count);
            Assert.Equal(model, In(list));
        }
    }

    private static Waiter Come(Handle handle)
    {
        Assert.True(handle.TryReserve(out _));
        return new(handle);
    }

    private static List<Waiter> In(WaiterList list)
    {
        List<Waiter> found = [];
        for (Waiter? waiter = list.First; waiter is not null; waiter = waiter.Next)
        {
            found.Add(waiter);
        }

        return found;
    }
}
