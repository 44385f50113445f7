using System.Buffers;
using System.Buffers.Text;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// The head of a request that can go to a worker nearly as it came: no header of it needs more than a look, its body, if it has one, is small and of a known length, and every
/// server reads it in the same way. It is read strictly, and what is not of that kind is left alone, for Kestrel to make of it what it can. One per connection, refilled for each request.
/// </summary>
internal sealed class PlainRequest
{
    /// <summary>Of the body. The kernel takes as much without the worker having to read it, so that a worker may answer before it does.</summary>
    public const int LargestBody = 32 * 1024;

    public const int LargestHead = 8 * 1024;
    private const int UsualHead = 512;
    private const int LongestRequestId = 256;

    /// <summary>What the names of the headers that are written apart take.</summary>
    private const int RoomForNames = 256;

    /// <summary>As many as Kestrel takes.</summary>
    private const int MostHeaders = 100;

    private static readonly SearchValues<byte> InHead = SearchValues.Create([.. Enumerable.Range(' ', '~' - ' ' + 1).Select(c => (byte)c), (byte)'\t', (byte)'\r', (byte)'\n']);
    private static readonly SearchValues<byte> InHost = SearchValues.Create("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-"u8);
    private static readonly SearchValues<byte> NotInTarget = SearchValues.Create(" \t\r\n#"u8);

    private static ReadOnlySpan<byte> LineEnd => " HTTP/1.1\r\n"u8;

    /// <summary>Where the lines are that go on as they came, as runs of whole ones. The first begins with the request's line.</summary>
    private readonly List<Part> _passed = [];

    private byte[] _head = new byte[UsualHead];
    private int _length;
    private Part _target;
    private Part _host;
    private Part _contentLength;
    private Part _forwardedFor;
    private Part _requestId;
    private Part _timeout;
    private int _pathLength;

    public string Method { get; private set; } = "";

    public bool IsHead { get; private set; }

    public bool IsIdempotent { get; private set; }

    /// <summary>The client wants its connection closed after the response.</summary>
    public bool Closes { get; private set; }

    public int BodyLength { get; private set; }

    /// <summary>The path, of characters that stand for themselves.</summary>
    public ReadOnlySpan<byte> Path => Of(_target)[.._pathLength];

    /// <summary>The client's own id for it; empty = it has none.</summary>
    public ReadOnlySpan<byte> RequestId => Of(_requestId);

    /// <summary>The client's own time for it, as it wrote it; empty = it has none.</summary>
    public ReadOnlySpan<byte> Timeout => Of(_timeout);

    /// <summary>Reads a request's head, and keeps it if it is such a one.</summary>
    /// <param name="bytes">What has come.</param>
    /// <param name="length">The length of the head with its empty line.</param>
    public bool TryRead(ReadOnlySpan<byte> bytes, out int length)
    {
        length = bytes[..Math.Min(bytes.Length, LargestHead)].IndexOf("\r\n\r\n"u8) + 4;
        if (length < 4 || bytes[..length].ContainsAnyExcept(InHead))
        {
            return false;
        }

        ReadOnlySpan<byte> head = bytes[..(length - 2)];
        int line = head.IndexOf("\r\n"u8);
        if (!ReadLine(head[..line]) || !ReadHeaders(head, line + 2))
        {
            return false;
        }

        if (_head.Length < length)
        {
            _head = new byte[Math.Max(length, Math.Min(_head.Length * 2, LargestHead))];
        }

        bytes[..length].CopyTo(_head);
        _length = length;
        return true;
    }

    /// <summary>Writes it as a worker is to have it.</summary>
    public void Write(WireBuffer buffer, IPlainClient client)
    {
        string? prefix = client.Prefix is { Length: > 1 } some ? some : null;
        string forwardedPrefix = prefix is null ? "" : new PathString(prefix).ToUriComponent();

        // The host is written twice.
        HeadWriter head = new(buffer.GetSpan((2 * _length) + client.RequestId.Length + client.Address.Length + forwardedPrefix.Length + RoomForNames));
        int start = prefix is null ? 0 : WriteLine(ref head, prefix.Length);
        foreach (Part run in _passed)
        {
            head.Write(Of(run)[start..]);
            start = 0;
        }

        head.Write("X-Request-ID: "u8);
        head.Write(client.RequestId);
        head.Write("\r\nX-Forwarded-For: "u8);
        if (_forwardedFor.Length > 0)
        {
            head.Write(Of(_forwardedFor));
            head.Write(", "u8);
        }

        head.Write(client.Address);
        head.Write("\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: "u8);
        head.Write(Of(_host));
        if (prefix is not null)
        {
            head.Write("\r\nX-Forwarded-Prefix: "u8);
            head.Write(forwardedPrefix);
        }

        if (_contentLength.Length > 0)
        {
            head.Write("\r\nContent-Length: "u8);
            head.Write(Of(_contentLength));
        }

        head.Write("\r\n"u8);
        buffer.Advance(head.End());
    }

    /// <summary>Writes the request's line without the application's prefix.</summary>
    /// <returns>The length of the line that came.</returns>
    private int WriteLine(ref HeadWriter head, int prefixLength)
    {
        int start = _target.Start + prefixLength;
        int length = _target.Start + _target.Length + LineEnd.Length;
        head.Write(_head.AsSpan(0, _target.Start));
        if (start == _target.Start + _target.Length || _head[start] != '/')
        {
            head.Write("/"u8);
        }

        head.Write(_head.AsSpan(start, length - start));
        return length;
    }

    private bool ReadLine(ReadOnlySpan<byte> line)
    {
        int space = line.IndexOf((byte)' ');
        ReadOnlySpan<byte> end = LineEnd[..^2];
        if (space < 0 || line.Length <= space + 1 + end.Length || !line.EndsWith(end) || !ReadMethod(line[..space]))
        {
            return false;
        }

        ReadOnlySpan<byte> target = line[(space + 1)..^end.Length];
        if (target[0] != '/' || target.ContainsAny(NotInTarget))
        {
            return false;
        }

        int query = target.IndexOf((byte)'?');
        ReadOnlySpan<byte> path = query < 0 ? target : target[..query];
        _target = new(space + 1, target.Length);
        _pathLength = path.Length;

        // Kestrel resolves escapes and dots; the server's own paths are answered behind it.
        return !path.Contains((byte)'%') && path.IndexOf("/."u8) < 0 && !path.StartsWith("/-/"u8);
    }

    private bool ReadMethod(ReadOnlySpan<byte> method)
    {
        string? name = method.Length switch
        {
            3 when method.SequenceEqual("GET"u8) => HttpMethods.Get,
            3 when method.SequenceEqual("PUT"u8) => HttpMethods.Put,
            4 when method.SequenceEqual("POST"u8) => HttpMethods.Post,
            4 when method.SequenceEqual("HEAD"u8) => HttpMethods.Head,
            5 when method.SequenceEqual("PATCH"u8) => HttpMethods.Patch,
            6 when method.SequenceEqual("DELETE"u8) => HttpMethods.Delete,
            _ => null,
        };
        Method = name!;
        IsHead = (object?)name == HttpMethods.Head;
        IsIdempotent = name is not null && IdempotentMethods.Contain(name);
        return name is not null;
    }

    private bool ReadHeaders(ReadOnlySpan<byte> head, int start)
    {
        _passed.Clear();
        _host = _contentLength = _forwardedFor = _requestId = _timeout = default;
        Closes = false;
        BodyLength = 0;
        int run = 0;
        int count = 0;
        while (start < head.Length)
        {
            int length = head[start..].IndexOfAny((byte)'\r', (byte)'\n');
            ReadOnlySpan<byte> line = head.Slice(start, length);
            int colon = HeaderText.NameLength(line);
            int next = start + length + 2;
            if (head[start + length] == '\n' || head[next - 1] != '\n' || colon == 0 || ++count > MostHeaders)
            {
                return false;
            }

            // One space and no more, as nearly everybody writes it: the worker gets the line as it is.
            ReadOnlySpan<byte> value = line[Math.Min(colon + 2, line.Length)..];
            if (line.Length < colon + 2 || line[colon + 1] != ' ' || (!value.IsEmpty && (value[0] <= ' ' || value[^1] <= ' ')))
            {
                return false;
            }

            switch (Read(line[..colon], value, new(start + colon + 2, value.Length)))
            {
                case Header.Other:
                    return false;
                case Header.IsWrittenApart:
                    Pass(run, start);
                    run = next;
                    break;
            }

            start = next;
        }

        Pass(run, start);
        return _host.Length > 0;
    }

    private void Pass(int start, int end)
    {
        if (end > start)
        {
            _passed.Add(new(start, end - start));
        }
    }

    private Header Read(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, Part place)
    {
        switch (name.Length)
        {
            case 6 when Is(name, "Expect"u8):
            case 12 when Is(name, "x-session-id"u8):
            case 26 when Is(name, "serve_multiplexed_model_id"u8):
            case 29 when Is(name, "x-request-disconnect-disabled"u8):
                return Header.Other;
            case 4 when Is(name, "Host"u8):
                return Once(ref _host, place, IsHost(value)) ? Header.IsPassed : Header.Other;
            case 10 when Is(name, "Connection"u8):
                bool closes = Is(value, "close"u8);
                Closes |= closes;
                return closes || Is(value, "keep-alive"u8) ? Header.IsWrittenApart : Header.Other;
            case 10 when Is(name, "Keep-Alive"u8):
                return Header.IsWrittenApart;
            case 12 when Is(name, "X-Request-ID"u8):
                return Once(ref _requestId, place, value.Length is > 0 and <= LongestRequestId && !value.Contains((byte)'\t')) ? Header.IsWrittenApart : Header.Other;
            case 14 when Is(name, "Content-Length"u8):
                return Once(ref _contentLength, place, IsLength(value)) ? Header.IsWrittenApart : Header.Other;
            case 15 when Is(name, "X-Forwarded-For"u8):
                return Once(ref _forwardedFor, place, !value.IsEmpty) ? Header.IsWrittenApart : Header.Other;
            case 16 when Is(name, "X-Forwarded-Host"u8):
            case 17 when Is(name, "X-Forwarded-Proto"u8):
            case 18 when Is(name, "X-Forwarded-Prefix"u8):
                return Header.IsWrittenApart;
            case 25 when Is(name, "x-request-timeout-seconds"u8):
                return Once(ref _timeout, place, !value.IsEmpty) ? Header.IsPassed : Header.Other;
            default:
                return HopByHop.Is(name) ? Header.Other : Header.IsPassed;
        }
    }

    private bool IsLength(ReadOnlySpan<byte> value)
    {
        if ((value.Length > 1 && value[0] == '0') || value.ContainsAnyExceptInRange((byte)'0', (byte)'9') || !Utf8Parser.TryParse(value, out int length, out int read) || read != value.Length)
        {
            return false;
        }

        BodyLength = length;
        return length <= LargestBody;
    }

    /// <summary>A name or an IPv4 address, and perhaps a port.</summary>
    private static bool IsHost(ReadOnlySpan<byte> value)
    {
        int colon = value.IndexOf((byte)':');
        ReadOnlySpan<byte> name = colon < 0 ? value : value[..colon];
        ReadOnlySpan<byte> port = colon < 0 ? "0"u8 : value[(colon + 1)..];
        return !name.IsEmpty && !name.ContainsAnyExcept(InHost) && port.Length is > 0 and <= 5 && !port.ContainsAnyExceptInRange((byte)'0', (byte)'9');
    }

    /// <returns>Whether it is there once, and usable.</returns>
    private static bool Once(ref Part known, Part place, bool isUsable)
    {
        bool isFirst = known.Length == 0;
        known = place;
        return isFirst && isUsable;
    }

    private static bool Is(ReadOnlySpan<byte> name, ReadOnlySpan<byte> other) => Ascii.EqualsIgnoreCase(name, other);

    private ReadOnlySpan<byte> Of(Part part) => _head.AsSpan(part.Start, part.Length);

    /// <summary>What becomes of a header.</summary>
    private enum Header
    {
        /// <summary>It goes on as it came.</summary>
        IsPassed,

        /// <summary>The server writes it, or another in its place, or it goes no further.</summary>
        IsWrittenApart,

        /// <summary>It makes the request one of another kind.</summary>
        Other,
    }

    private readonly record struct Part(int Start, int Length);
}
