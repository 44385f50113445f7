using System.Globalization;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>A worker of a few lines of Python, without any framework: whatever its path says, it does on the wire.</summary>
internal static class WireSite
{
    private const string Code =
        """
        import asyncio, base64, hashlib, os

        GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        go, left = asyncio.Event(), asyncio.Event()
        sent = 0

        async def ws(headers, reader, writer):
            accept = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + GUID).digest()).decode()
            writer.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
            while True:
                head = await reader.readexactly(2)
                if head[0] & 15 == 8:
                    writer.write(b"\x88\x00")
                    return
                mask = await reader.readexactly(4)
                text = bytes(b ^ mask[i % 4] for i, b in enumerate(await reader.readexactly(head[1] & 127)))
                writer.write(bytes([0x81, len(text)]) + text)

        async def events(headers, reader, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
            await go.wait()
            writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

        async def upload(headers, reader, writer):
            count = 0
            if "content-length" in headers:
                while count < int(headers["content-length"]):
                    count += len(await reader.read(1 << 18))
            answer(writer, f"{count} {headers.get('expect')}")

        async def early(headers, reader, writer):
            answer(writer, "too much", "413 Content Too Large")

        async def endless(headers, reader, writer):
            global sent
            size = int(headers["x-size"])
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
            piece = bytes(1 << 16)
            try:
                while sent < size:
                    writer.write(piece)
                    await writer.drain()
                    sent += len(piece)
            except OSError:
                left.set()
                raise

        async def other(path, headers, writer):
            if path == "/go":
                go.set()
            if path == "/left":
                await left.wait()
            answer(writer, str(sent) if path == "/sent" else path)

        def answer(writer, body, status="200 OK"):
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

        async def serve(reader, writer):
            try:
                while True:
                    method, path, _ = (await reader.readline()).decode().split()
                    headers = {}
                    while (line := (await reader.readline()).decode().strip()):
                        name, _, value = line.partition(":")
                        headers[name.lower()] = value.strip()
                    if method == "HEAD":
                        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-Head: 1\r\n\r\n")
                        continue
                    paths = {"/ws": ws, "/events": events, "/upload": upload, "/early": early, "/endless": endless}
                    if path in paths:
                        await paths[path](headers, reader, writer)
                        if path in ("/ws", "/early"):
                            return
                    else:
                        await other(path, headers, writer)
            except (OSError, ValueError, asyncio.IncompleteReadError):
                pass
            finally:
                try:
                    await writer.drain()
                    writer.close()
                except OSError:
                    pass

        async def main():
            server = await asyncio.start_unix_server(serve, os.environ["SERVE_SOCKET"])
            await server.serve_forever()

        asyncio.run(main())
        """;

    public static async Task<OperatorSite> CreateAsync(string more = "")
    {
        await Programs.SkipWithoutAsync("python3", "--version");
        OperatorSite site = new(Config(more));
        site.Write("wire.py", Code);
        return site;
    }

    public static string Config(string more = "", string http = "max_request_body_bytes = 2_000_000_000") =>
        $"""
        [http_options]
        {http}

        [[applications]]
        name = "wire"

          [[applications.deployments]]
          name = "w"
          command = ["python3", "wire.py"]
          {more}

        """;

    /// <summary>What the server has of memory, in MiB.</summary>
    public static async Task<long> MemoryAsync(ServeProcess server)
    {
        string[] lines = await File.ReadAllLinesAsync($"/proc/{server.Id}/status", server.Deadline);
        return long.Parse(lines.Single(l => l.StartsWith("VmHWM:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2].Trim(), CultureInfo.InvariantCulture) / 1024;
    }
}
