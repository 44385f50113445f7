using System.Text;
using System.Text.Unicode;

namespace Serve.Embedded.Config;

/// <summary>Gets the text of a configuration file, whatever the path turns out to be, without ever reading more than the limit.</summary>
internal static class ConfigFile
{
    public const int MaxBytes = 16 * 1024 * 1024;

    /// <summary>The folder from which what the file names is seen; the current one where there is no file.</summary>
    public static string FolderOf(string? path) => path is null ? Environment.CurrentDirectory : Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/";

    /// <summary>The text, or <see langword="null"/> and an error.</summary>
    public static string? ReadText(string path, ConfigErrors errors)
    {
        try
        {
            if (Directory.Exists(path))
            {
                errors.Add(default, "this is a directory, not a file");
                return null;
            }

            using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
            if (ReadBytes(file) is byte[] bytes)
            {
                return Decode(bytes, errors);
            }

            AddTooLarge(errors);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            errors.Add(default, "there is no such file");
        }
        catch (UnauthorizedAccessException)
        {
            errors.Add(default, $"the user {Environment.UserName} may not read this file");
        }
        catch (Exception e) when (e is IOException or ArgumentException or NotSupportedException)
        {
            errors.Add(default, $"cannot be read: {e.Message}");
        }

        return null;
    }

    /// <summary>UTF-8 to text, with or without a byte order mark; an error with its place where it is not UTF-8.</summary>
    public static string? Decode(ReadOnlySpan<byte> bytes, ConfigErrors errors)
    {
        if (bytes.StartsWith("\uFEFF"u8))
        {
            bytes = bytes[3..];
        }

        if (Utf8.IsValid(bytes))
        {
            return Encoding.UTF8.GetString(bytes);
        }

        int offset = FirstInvalid(bytes);
        ReadOnlySpan<byte> before = bytes[..offset];
        int column = Encoding.UTF8.GetCharCount(before[(before.LastIndexOf((byte)'\n') + 1)..]) + 1;
        string hint = bytes[0] is 0xFE or 0xFF ? "; it looks like UTF-16: save it as UTF-8" : "";
        errors.Add(new TextPlace(before.Count((byte)'\n') + 1, column), $"not UTF-8: the byte 0x{bytes[offset]:X2} at offset {offset}{hint}");
        return null;
    }

    public static void AddTooLarge(ConfigErrors errors) =>
        errors.Add(default, $"larger than {MaxBytes / (1024 * 1024)} MiB, which no configuration is; is it the right one?");

    // Pipes and devices do not tell their length, so the length is a first answer and the count is the last.
    private static byte[]? ReadBytes(FileStream file)
    {
        long length = file.CanSeek ? file.Length : 0;
        if (length > MaxBytes)
        {
            return null;
        }

        byte[] buffer = new byte[Math.Max((int)length, 4096) + 1];
        int count = 0;
        while (file.Read(buffer, count, buffer.Length - count) is int read and > 0)
        {
            count += read;
            if (count > MaxBytes)
            {
                return null;
            }

            if (count == buffer.Length)
            {
                Array.Resize(ref buffer, Math.Min(buffer.Length * 2, MaxBytes + 1));
            }
        }

        return buffer[..count];
    }

    private static int FirstInvalid(ReadOnlySpan<byte> bytes)
    {
        int offset = 0;
        while (Rune.DecodeFromUtf8(bytes[offset..], out _, out int length) == System.Buffers.OperationStatus.Done)
        {
            offset += length;
        }

        return offset;
    }
}
