using Serve.Embedded.Controller;
using static Serve.Embedded.Tests.Controller.ControllerHarness;

namespace Serve.Embedded.Tests.Controller;

/// <summary>Found on a busy machine: a deploy was known to be good an instant before the status showed what it had changed.</summary>
public sealed class PublicationTests
{
    [Fact]
    public void Settled_WhoIsTold_SeesItInTheStatus()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App());
        harness.Run();
        ApplyRequest? next = null;
        int seen = 0;
        int rounds = 0;
        Thread reader = new(() =>
        {
            for (int limit = 1; limit <= 200; limit++)
            {
                ApplyRequest? request;
                while ((request = Volatile.Read(ref next)) is null || request.Goals[0].Deployments[0].MaxOngoingRequests != limit || !request.Settled.IsCompleted)
                {
                }

                seen += harness.Deployment("Front").Goal.MaxOngoingRequests == limit ? 1 : 0;
                Volatile.Write(ref rounds, limit);
            }
        });
        reader.Start();

        for (int limit = 1; limit <= 200; limit++)
        {
            ApplyRequest request = new([App(deployments: [Front() with { MaxOngoingRequests = limit }, Back()])]);
            Volatile.Write(ref next, request);
            _ = harness.Apply(request);
            harness.Run(TimeSpan.Zero);
            while (Volatile.Read(ref rounds) < limit)
            {
            }
        }

        reader.Join();
        Assert.Equal(200, seen);
    }
}
