// A minimal API with nothing in it but the handler: what Kestrel does when nobody queues, sheds, times or logs.
//
// Usage: BareKestrel PORT echo|refuse|slow [DELAY_MS]
using System.Globalization;

int port = int.Parse(args[0], CultureInfo.InvariantCulture);
ReadOnlyMemory<byte> ok = "ok"u8.ToArray();
ReadOnlyMemory<byte> no = "Request dropped due to backpressure."u8.ToArray();

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
builder.Logging.ClearProviders();
builder.WebHost.ConfigureKestrel(options =>
{
    options.AddServerHeader = false;
    options.Listen(System.Net.IPAddress.Loopback, port);
});
WebApplication app = builder.Build();

switch (args[1])
{
    case "echo":
        // builtin:echo, to the letter.
        app.Map("/{**path}", (HttpContext context) =>
        {
            HttpRequest request = context.Request;
            HttpResponse response = context.Response;
            if (request.ContentLength is 0 || (request.ContentLength is null && request.Headers.TransferEncoding.Count == 0))
            {
                response.ContentType = "text/plain; charset=utf-8";
                response.ContentLength = ok.Length;
                ValueTask<System.IO.Pipelines.FlushResult> write = response.BodyWriter.WriteAsync(ok, context.RequestAborted);
                return write.IsCompletedSuccessfully ? Task.CompletedTask : write.AsTask();
            }

            response.ContentType = request.ContentType ?? "application/octet-stream";
            response.ContentLength = request.ContentLength;
            return request.BodyReader.CopyToAsync(response.BodyWriter, context.RequestAborted);
        });
        break;
    case "refuse":
        app.Map("/{**path}", (HttpContext context) =>
        {
            HttpResponse response = context.Response;
            response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            response.ContentType = "text/plain; charset=utf-8";
            response.ContentLength = no.Length;
            ValueTask<System.IO.Pipelines.FlushResult> write = response.BodyWriter.WriteAsync(no);
            return write.IsCompletedSuccessfully ? Task.CompletedTask : write.AsTask();
        });
        break;
    case "slow":
        // builtin:slow: the wait and the answer. It gives its thread back while it waits, which is the best that Kestrel can do with it.
        TimeSpan delay = TimeSpan.FromMilliseconds(double.Parse(args[2], CultureInfo.InvariantCulture));
        ReadOnlyMemory<byte> hello = "Hello!"u8.ToArray();
        app.Map("/{**path}", async (HttpContext context) =>
        {
            await Task.Delay(delay, context.RequestAborted);
            context.Response.ContentType = "text/plain; charset=utf-8";
            context.Response.ContentLength = hello.Length;
            await context.Response.BodyWriter.WriteAsync(hello, context.RequestAborted);
        });
        break;
    default:
        Console.Error.WriteLine($"'{args[1]}' is not echo, refuse or slow.");
        return 2;
}

app.Run();
return 0;
