namespace Serve.Embedded.Telemetry;

/// <summary>The time in a log line, as Python's logging writes it: <c>2026-11-23 08:19:47,123</c>.</summary>
internal static class LogTime
{
    public const int Length = 23;

    public static void Format(DateTime time, Span<byte> into)
    {
        "0000-00-00 00:00:00,000"u8.CopyTo(into);
        time.Deconstruct(out DateOnly date, out TimeOnly clock);
        date.Deconstruct(out int year, out int month, out int day);
        Digits(year, into[..4]);
        Digits(month, into[5..7]);
        Digits(day, into[8..10]);
        Digits(clock.Hour, into[11..13]);
        Digits(clock.Minute, into[14..16]);
        Digits(clock.Second, into[17..19]);
        Digits(clock.Millisecond, into[20..23]);
    }

    private static void Digits(int value, Span<byte> into)
    {
        for (int i = into.Length - 1; i >= 0; i--)
        {
            (value, int digit) = Math.DivRem(value, 10);
            into[i] = (byte)('0' + digit);
        }
    }
}
