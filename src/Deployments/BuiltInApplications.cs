using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Deployments;

/// <summary>The applications that every build of the executable carries.</summary>
internal static class BuiltInApplications
{
    private const string Slow = "builtin:slow";
    private const string Echo = "builtin:echo";
    private const string Faulty = "builtin:faulty";

    /// <summary>Nobody has added one.</summary>
    public static bool IsOnlyBuiltIn(this DeploymentRegistry registry) => registry.Applications.Keys.All(path => path is Slow or Echo or Faulty);

    public static DeploymentRegistry AddBuiltIn(this DeploymentRegistry registry) => registry
        .AddApplication(Slow, app => app.AddBlocking<HttpRequest, string>(
            "SlowDeployment",
            context => new SlowDeployment(WithoutArgs(context, Slow).Time),
            new() { MaxOngoingRequests = 2, MaxQueuedRequests = 2, UserConfig = """{"message":"Hello!","delay_s":2.0}""" }))
        .AddApplication(Echo, app => app.AddHttp(
            "Echo",
            context =>
            {
                _ = WithoutArgs(context, Echo);
                return new EchoDeployment();
            },
            new() { MaxOngoingRequests = 100 }))
        .AddApplication(Faulty, app => app.Add<HttpRequest, string>("Faulty", context => new FaultyDeployment(context)));

    /// <summary>What would have no effect is refused, as in every other table. An empty one, which Ray Serve writes everywhere, asks for nothing.</summary>
    private static DeploymentContext WithoutArgs(DeploymentContext context, string path) =>
        context.Args is null || context.Args.Value.GetPropertyCount() == 0 ? context : throw new ArgumentException($"{path} takes no args: take them out.");
}
