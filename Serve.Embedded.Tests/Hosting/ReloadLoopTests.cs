using Serve.Embedded.Hosting;

namespace Serve.Embedded.Tests.Hosting;

public sealed class ReloadLoopTests
{
    [Fact]
    public async Task Request_ManyWhileOneRuns_BecomeExactlyOneMore()
    {
        int count = 0;
        TaskCompletionSource started = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource second = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ReloadLoop loop = new(async () =>
        {
            if (Interlocked.Increment(ref count) == 1)
            {
                started.SetResult();
                await goOn.Task;
            }
            else
            {
                second.SetResult();
            }
        });

        loop.Request();
        await started.Task.WaitAsync(TestContext.Current.CancellationToken);
        for (int i = 0; i < 100; i++)
        {
            loop.Request();
        }

        goOn.SetResult();
        await second.Task.WaitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(2, count);
    }
}
