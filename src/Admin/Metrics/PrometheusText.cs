using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Admin.Metrics;

/// <summary>Prometheus' text exposition format, version 0.0.4. It goes out piece by piece, so that a long one takes no more memory than a short one.</summary>
internal sealed class PrometheusText(PipeWriter output)
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private const int Piece = 32 * 1024;

    /// <summary>Longer than any number.</summary>
    private const int MostDigits = 32;

    private readonly ArrayBufferWriter<byte> _piece = new(Piece + (Piece / 8));

    /// <summary>The labels of the series at hand.</summary>
    private readonly ArrayBufferWriter<byte> _labels = new(256);
    private readonly long[] _counts = new long[HistogramBuckets.Most];

    /// <summary>The reader has left.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Begins a family; its samples follow.</summary>
    public void Family(string name, string type, string help)
    {
        Write("# HELP "u8);
        Write(_piece, name);
        Write(" "u8);
        Escape(_piece, help, quotes: false);
        Write("\n# TYPE "u8);
        Write(_piece, name);
        Write(" "u8);
        Write(_piece, type);
        Write("\n"u8);
    }

    public void Sample(string name, ReadOnlySpan<KeyValuePair<string, object?>> labels, double value)
    {
        Write(_piece, name);
        Label(labels);
        WriteLabels("{"u8);
        End(value);
    }

    public void Sample(string name, double value) => Sample(name, [], value);

    /// <summary>Its count is that of the buckets, read once, so that they never disagree.</summary>
    public void Histogram(string name, ReadOnlySpan<KeyValuePair<string, object?>> labels, StripedHistogram histogram)
    {
        (long count, double sum) = histogram.Read(_counts);
        Label(labels);
        long upTo = 0;
        for (int i = 0; i < histogram.Buckets.Count; i++)
        {
            upTo += _counts[i];
            Write(_piece, name);
            Write("_bucket{"u8);
            Write(_labels.WrittenSpan);
            Write(_labels.WrittenCount > 0 ? ",le=\""u8 : "le=\""u8);
            if (i < histogram.Buckets.Bounds.Count)
            {
                Write(histogram.Buckets.Bounds[i]);
            }
            else
            {
                Write("+Inf"u8);
            }

            Write("\"}"u8);
            End(upTo);
        }

        Write(_piece, name);
        WriteLabels("_sum{"u8);
        End(sum);
        Write(_piece, name);
        WriteLabels("_count{"u8);
        End(count);
    }

    /// <summary>Sends what there is, if that is enough to be worth it. Call it after each series.</summary>
    public ValueTask FlushAsync(bool always = false) => IsOver || (!always && _piece.WrittenCount < Piece) ? default : SendAsync();

    private async ValueTask SendAsync()
    {
        FlushResult sent = await output.WriteAsync(_piece.WrittenMemory);
        _piece.ResetWrittenCount();
        IsOver = sent.IsCompleted || sent.IsCanceled;
    }

    private void Label(ReadOnlySpan<KeyValuePair<string, object?>> labels)
    {
        _labels.ResetWrittenCount();
        foreach ((string name, object? value) in labels)
        {
            _labels.Write(_labels.WrittenCount > 0 ? ","u8 : ""u8);
            Write(_labels, name);
            _labels.Write("=\""u8);
            Escape(_labels, (string)value!, quotes: true);
            _labels.Write("\""u8);
        }
    }

    private void End(double value)
    {
        Write(" "u8);
        Write(value);
        Write("\n"u8);
    }

    private void Write(ReadOnlySpan<byte> bytes) => _piece.Write(bytes);

    private void WriteLabels(ReadOnlySpan<byte> before)
    {
        ReadOnlySpan<byte> labels = _labels.WrittenSpan;

        // What has no label has no braces either, but keeps its suffix.
        Write(labels.IsEmpty ? before[..^1] : before);
        Write(labels);
        Write(labels.IsEmpty ? [] : "}"u8);
    }

    private static void Write(ArrayBufferWriter<byte> to, string text) => Encoding.UTF8.GetBytes(text, to);

    private void Write(double value)
    {
        if (double.IsPositiveInfinity(value))
        {
            Write("+Inf"u8);
            return;
        }

        Span<byte> digits = _piece.GetSpan(MostDigits);
        value.TryFormat(digits, out int written, "R", CultureInfo.InvariantCulture);
        _piece.Advance(written);
    }

    private static void Escape(ArrayBufferWriter<byte> to, string text, bool quotes)
    {
        ReadOnlySpan<char> rest = text;
        while (rest.Length > 0)
        {
            int special = quotes ? rest.IndexOfAny('\\', '\n', '"') : rest.IndexOfAny('\\', '\n');
            ReadOnlySpan<char> plain = special < 0 ? rest : rest[..special];
            Encoding.UTF8.GetBytes(plain, to);
            if (special < 0)
            {
                return;
            }

            to.Write(rest[special] switch
            {
                '\\' => "\\\\"u8,
                '\n' => "\\n"u8,
                _ => "\\\""u8,
            });
            rest = rest[(special + 1)..];
        }
    }
}
