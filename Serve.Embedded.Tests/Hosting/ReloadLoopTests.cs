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
        }, _ => { });

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

    [Fact]
    public async Task Request_AReloadThrew_TheNextOneIsAsGoodAsAny()
    {
        TaskCompletionSource<Exception> failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource again = new(TaskCreationOptions.RunContinuationsAsynchronously);
        int count = 0;
        ReloadLoop loop = new(
            () =>
            {
                if (Interlocked.Increment(ref count) == 1)
                {
                    throw new InvalidOperationException("fault");
                }

                again.SetResult();
                return Task.CompletedTask;
            },
            failed.SetResult);

        loop.Request();
        Assert.Equal("fault", (await failed.Task.WaitAsync(TestContext.Current.CancellationToken)).Message);
        loop.Request();

        await again.Task.WaitAsync(TestContext.Current.CancellationToken);
    }
}
