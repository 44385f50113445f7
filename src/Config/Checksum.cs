using System.Globalization;
using System.Numerics;

namespace Serve.Embedded.Config;

/// <summary>CRC-32C: tells accidents and changes, and is no guard against an attacker. The framework's cryptography would need OpenSSL, which a small box may not have.</summary>
internal static class Checksum
{
    /// <returns>Eight digits.</returns>
    public static string Of(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in bytes)
        {
            crc = BitOperations.Crc32C(crc, value);
        }

        return (~crc).ToString("x8", CultureInfo.InvariantCulture);
    }

    /// <summary>Tells one content of a file from another: its length beside the checksum.</summary>
    public static string WithLengthOf(ReadOnlySpan<byte> bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes.Length:x}-{Of(bytes)}");
}
