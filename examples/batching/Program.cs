// A model that costs the same for one text as for thirty-two, behind a deployment that gathers them.
using Batching;
using Serve.Embedded;

return await ServeCli.RunAsync(args, new DeploymentRegistry().AddApplication("embed:app", EmbedApplication.Build));
