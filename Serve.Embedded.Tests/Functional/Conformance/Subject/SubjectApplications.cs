using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Tests.Functional.Conformance.Subject;

/// <summary>The applications that the conformance suite drives, the same in every form of the server.</summary>
internal static class SubjectApplications
{
    private static readonly DeploymentOptions Open = new() { MaxOngoingRequests = 1000 };

    public static DeploymentRegistry Register()
    {
        Board board = new();
        Work work = new(board);
        return new DeploymentRegistry()
            .AddApplication("subject:board", app => app.Add<HttpRequest, string>("Board", _ => new BoardDeployment(board), Open))
            .AddApplication("subject:probe", app => app.Add<HttpRequest, string>("Probe", c => new Probe(work, c)))
            .AddApplication("subject:late", app => app.Add<HttpRequest, string>("Late", c => new Late(board, work, c)))
            .AddApplication("subject:life", app => app.Add<HttpRequest, string>("Life", c => new Life(board, work, c)))
            .AddApplication("subject:stream", app => app.Add<HttpRequest, IAsyncEnumerable<string>>("Stream", _ => new Streamer(board, work)))
            .AddApplication("subject:socket", app => app.AddHttp("Socket", _ => new Socket()))
            .AddApplication("subject:awaits", app => AddChild(app.Add<HttpRequest, string>("Parent", c => new Parent(ChildOf(c)), Open), work))
            .AddApplication("subject:http", app => AddChild(app.AddHttp("Parent", c => new HttpParent(ChildOf(c)), Open), work))
            .AddApplication("subject:blocks", app => AddChild(app.AddBlocking<HttpRequest, string>("Parent", c => new BlockingParent(ChildOf(c)), Open with { MaxOngoingRequests = 20 }), work))
            .AddApplication("subject:catches", app => AddChild(app.Add<HttpRequest, string>("Parent", c => new CatchingParent(ChildOf(c)), Open), work))
            .AddApplication("subject:early", app => AddChild(app.Add<HttpRequest, string>("Parent", c => new EarlyParent(ChildOf(c)), Open), work))
            .AddApplication("subject:broadcasts", app => app
                .Add<HttpRequest, string>("Parent", c => new BroadcastingParent(ChildOf(c)), Open)
                .Add<string, string>("Child", c => new Named(c)))
            .AddApplication("subject:batch", app => app.AddBatch<HttpRequest, string>("Batch", c => new Batch(board, c), options: Open))
            .AddApplication("subject:fan", app => app
                .Add<HttpRequest, string>("Parent", c => new Fan(ChildOf(c)), Open)
                .AddBatch<string, string>("Child", _ => new ChildBatch(), new() { MaxBatchSize = 5, BatchWaitTimeout = TimeSpan.FromDays(1) }, Open))
            .AddApplication("subject:models", app => app.Add<HttpRequest, string>("Models", c => new Models(board, work, c)))
            .AddApplication("subject:versions", app => app
                .Add<HttpRequest, string>("Parent", c => new VersionedParent(ChildOf(c), c), Open)
                .Add<string, string>("Child", c => new Versioned(board, c), Open));
    }

    private static void AddChild(ApplicationBuilder app, Work work) => app.Add<string, string>("Child", _ => new Child(work));

    private static DeploymentHandle<string, string> ChildOf(DeploymentContext context) => context.GetHandle<string, string>("Child");
}
