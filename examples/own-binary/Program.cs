using Microsoft.AspNetCore.Http;
using OwnBinary;
using Serve.Embedded;

DeploymentRegistry registry = new DeploymentRegistry()
    .AddAutoscalingPolicy("waiting", new WaitingPolicy())
    .AddApplication("own:model", app => app
        .AddBlocking<HttpRequest, Answer>("Model", context => new Model(context.Time), new() { MaxOngoingRequests = 1 }, ModelJson.Default.Answer));

return await ServeCli.RunAsync(args, registry);
