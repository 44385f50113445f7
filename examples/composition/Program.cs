// An executable of one's own: the whole command line of the server, with two models and an ingress compiled in.
using Composition;
using Microsoft.AspNetCore.Http;
using Serve.Embedded;

DeploymentRegistry registry = new DeploymentRegistry().AddApplication("reviews:app", app => app
    .Add<Reviews, HttpRequest, Review>("Reviews", new() { MaxOngoingRequests = 100 }, ReviewJson.Default.Review)
    .AddBlocking<SentimentModel, string, double>("Sentiment", new() { MaxOngoingRequests = 1, MaxQueuedRequests = 4 })
    .Add<LanguageModel, string, string>("Language", new() { MaxOngoingRequests = 8 }));
return await ServeCli.RunAsync(args, registry);
