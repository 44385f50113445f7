// A writer that answers word by word, over server-sent events and over WebSocket.
using Serve.Embedded;
using Streaming;

return await ServeCli.RunAsync(args, new DeploymentRegistry().AddApplication("chat:app", ChatApplication.Build));
