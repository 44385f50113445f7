// YARP before a server on a Unix socket, as its documentation has it, with logs off.
//
// Usage: Yarp PORT SOCKET
using System.Globalization;
using System.Net.Sockets;
using Yarp.ReverseProxy.Configuration;

int port = int.Parse(args[0], CultureInfo.InvariantCulture);
UnixDomainSocketEndPoint worker = new(args[1]);

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
builder.Logging.ClearProviders();
builder.WebHost.ConfigureKestrel(options => options.Listen(System.Net.IPAddress.Loopback, port));
builder.Services.AddReverseProxy()
    .LoadFromMemory(
        [new RouteConfig { RouteId = "all", ClusterId = "worker", Match = new() { Path = "/{**path}" } }],
        [new ClusterConfig { ClusterId = "worker", Destinations = new Dictionary<string, DestinationConfig> { ["one"] = new() { Address = "http://worker/" } } }])
    .ConfigureHttpClient((_, handler) => handler.ConnectCallback = async (_, cancellationToken) =>
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(worker, cancellationToken);
        return new NetworkStream(socket, ownsSocket: true);
    });
WebApplication app = builder.Build();
app.MapReverseProxy();
app.Run();
