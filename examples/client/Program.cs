// Calls a server that has no room, and is served all the same; gives up when its time is over; and does nothing twice that must not be.
//
// Usage: client [ADDRESS]    of a server that runs with the config.toml beside this file; http://127.0.0.1:8000 unless said otherwise
using ClientExample;
using Microsoft.Extensions.DependencyInjection;
using Serve.Embedded;

Uri address = new(args.Length > 0 ? args[0] : "http://127.0.0.1:8000");
ServiceCollection services = new();
services.AddHttpClient(Calls.Patient, client => client.BaseAddress = address).AddServeClient(options => options.Timeout = TimeSpan.FromSeconds(20));
services.AddHttpClient(Calls.Hasty, client => client.BaseAddress = address).AddServeClient(options => options.Timeout = TimeSpan.FromSeconds(0.3));
services.AddHttpClient(Calls.Restless, client => client.BaseAddress = address).AddServeClient(options => (options.Timeout, options.TryTimeout) = (TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(0.3)));
await using ServiceProvider provider = services.BuildServiceProvider();
await new Calls(provider.GetRequiredService<IHttpClientFactory>(), Console.Out).RunAsync(CancellationToken.None);
