using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Deployments;

/// <summary>The applications that every build of the executable carries.</summary>
internal static class BuiltInApplications
{
    public static DeploymentRegistry AddBuiltIn(this DeploymentRegistry registry) => registry
        .AddApplication("builtin:slow", app => app.AddBlocking<HttpRequest, string>(
            "SlowDeployment",
            context => new SlowDeployment(context.Time),
            new() { MaxOngoingRequests = 2, MaxQueuedRequests = 2, UserConfig = """{"message":"Hello!","delay_s":2.0}""" }))
        .AddApplication("builtin:echo", app => app.AddHttp(
            "Echo",
            _ => new EchoDeployment(),
            new() { MaxOngoingRequests = 100 }))
        .AddApplication("builtin:faulty", app => app.Add<HttpRequest, string>("Faulty", context => new FaultyDeployment(context)));
}
