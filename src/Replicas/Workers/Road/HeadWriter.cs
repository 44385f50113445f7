using System.Buffers.Text;
using System.Text;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Writes the head of an HTTP/1.1 message into memory that has room for it.</summary>
internal ref struct HeadWriter(Span<byte> target)
{
    private readonly Span<byte> _target = target;
    private int _length;

    public void Write(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_target[_length..]);
        _length += bytes.Length;
    }

    /// <param name="text">ASCII.</param>
    public void Write(string text) => _length += Encoding.ASCII.GetBytes(text, _target[_length..]);

    public void BeginStatus(int code)
    {
        Write("HTTP/1.1 "u8);
        Number(code);
        Write(" "u8);
    }

    public void EndStatus(ReadOnlySpan<byte> reason)
    {
        Write(reason);
        Write("\r\n"u8);
    }

    public void EndStatus(string reason)
    {
        Write(reason);
        Write("\r\n"u8);
    }

    public void Header(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        Write(name);
        Write(": "u8);
        Write(value);
        Write("\r\n"u8);
    }

    /// <param name="name">Of the header.</param>
    /// <param name="value">ASCII.</param>
    public void Header(ReadOnlySpan<byte> name, string value)
    {
        Write(name);
        Write(": "u8);
        Write(value);
        Write("\r\n"u8);
    }

    public void Header(ReadOnlySpan<byte> name, long value)
    {
        Write(name);
        Write(": "u8);
        Number(value);
        Write("\r\n"u8);
    }

    public void Date(DateTimeOffset now)
    {
        Write("Date: "u8);
        Utf8Formatter.TryFormat(now, _target[_length..], out int written, 'R');
        _length += written;
        Write("\r\n"u8);
    }

    /// <summary>Ends the head.</summary>
    /// <returns>Its length.</returns>
    public int End()
    {
        Write("\r\n"u8);
        return _length;
    }

    /// <summary>Writes what comes behind the head.</summary>
    /// <returns>The length of both.</returns>
    public int Body(ReadOnlySpan<byte> bytes)
    {
        Write(bytes);
        return _length;
    }

    private void Number(long value)
    {
        Utf8Formatter.TryFormat(value, _target[_length..], out int written);
        _length += written;
    }
}
