using Serve.Embedded;
using Serve.Embedded.Deployments;

return await ServeCli.RunAsync(args, new DeploymentRegistry().AddBuiltIn());
