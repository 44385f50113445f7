using Microsoft.Extensions.Logging;
using Serve.Embedded;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Hosting;
using Serve.Embedded.Telemetry;

LiveLogSettings settings = new(new() { AccessLog = args.Length < 2 });
using LogOutput output = new(Console.OpenStandardError());
using LoggerFactory loggers = new([new ServeLoggerProvider(output, settings, TimeProvider.System)], new LoggerFilterOptions { MinLevel = LogLevel.Trace });
ServeEnvironment environment = new(TimeProvider.System, new SeededRandom((ulong)Environment.TickCount64), ServeEnvironment.ResumeOnThreadPool, loggers);
DeploymentRegistry registry = new DeploymentRegistry().AddBuiltIn();
TaskCompletionSource stop = new();
using Signals signals = new(() => { }, _ => stop.SetResult(), Environment.Exit);
(Server server, var outcome) = await Server.StartAsync(
    new ServeConfig { Http = new() { RequestTimeout = TimeSpan.FromSeconds(30) }, Logging = new() { EnableAccessLog = args.Length < 2 }, Applications = [new() { ImportPath = "builtin:slow" }, new() { Name = "e", RoutePrefix = "/echo", ImportPath = "builtin:echo" }] }, registry, environment, settings);
Console.WriteLine("ready " + string.Join(",", outcome.Failures));
await stop.Task;
await server.StopAsync();
return 0;
