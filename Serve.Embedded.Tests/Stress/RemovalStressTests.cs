using Serve.Embedded.Handles;
using Serve.Embedded.Tests.Handles;

namespace Serve.Embedded.Tests.Stress;

/// <summary>Requests that come while the handle that they come through is removed.</summary>
public sealed class RemovalStressTests
{
    private const int Rounds = 300;

    /// <summary>
    /// There is room for all of them, so that who is told of a full queue is told wrongly. They come without a pause and the handle is removed only when some have come, so that in some of the rounds one is
    /// between its first look at the handle and its place.
    /// </summary>
    [Fact]
    public async Task Admit_WhileItsHandleIsRemoved_IsNeverToldOfAFullQueue()
    {
        CancellationToken testEnds = TestContext.Current.CancellationToken;
        TestGate test = new();
        Handle? handle = null;
        int toldWrongly = 0;
        using Barrier together = new(2);
        Task comes = Task.Factory.StartNew(Come, testEnds, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        for (int round = 0; round < Rounds; round++)
        {
            handle = test.Gate.AddHandle(-1);
            together.SignalAndWait(testEnds);
            SpinWait spin = default;
            while (handle.Counts.Cancelled == 0)
            {
                spin.SpinOnce(sleep1Threshold: -1);
            }

            test.Gate.RemoveHandle(handle);
            together.SignalAndWait(testEnds);
            test.RunResumed();
        }

        await comes;
        Assert.Equal(0, toldWrongly);
        Assert.Equal(0, test.Gate.Waiting);
        Assert.Empty(test.Gate.Handles);

        void Come()
        {
            for (int round = 0; round < Rounds; round++)
            {
                together.SignalAndWait(testEnds);
                Admission admission;
                while ((admission = test.Gate.Admit(handle!)).Kind == AdmissionKind.Wait)
                {
                    admission.Waiter!.TryLeave(WaitEnd.Cancelled);
                }

                toldWrongly += admission.Kind == AdmissionKind.Unavailable ? 0 : 1;
                together.SignalAndWait(testEnds);
            }
        }
    }
}
