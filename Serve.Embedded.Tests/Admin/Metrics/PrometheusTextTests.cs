using System.IO.Pipelines;
using System.Text;
using Serve.Embedded.Admin.Metrics;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Admin.Metrics;

public sealed class PrometheusTextTests
{
    [Fact]
    public async Task Sample_LabelsAndHelpOfAllKinds_AreEscapedAsTheFormatHasIt()
    {
        string text = await WriteAsync(text =>
        {
            text.Family("serve_a", "gauge", "A \\ and a \"quote\"\nand a line.");
            text.Sample("serve_a", [new("application", "a\\b\"c\nd,e=f{g} \u00e4\u4e2d\U0001F600"), new("reason", "")], 1);
            text.Sample("serve_a", [new("application", "n\\n"), new("reason", "x")], -1);
        });

        Assert.Equal(
            """
            # HELP serve_a A \\ and a "quote"\nand a line.
            # TYPE serve_a gauge
            serve_a{application="a\\b\"c\nd,e=f{g} äń😀",reason=""} 1
            serve_a{application="n\\n",reason="x"} -1

            """.Replace("äń", "\u00e4\u4e2d", StringComparison.Ordinal),
            text);
        Assert.Equal("a\\b\"c\nd,e=f{g} \u00e4\u4e2d\U0001F600", Exposition.Parse(text).Samples.First().Labels["application"]);
    }

    [Theory]
    [InlineData(0, "0")]
    [InlineData(-1, "-1")]
    [InlineData(9007199254740991, "9007199254740991")]
    [InlineData(0.1, "0.1")]
    [InlineData(1795928610.974, "1795928610.974")]
    [InlineData(1e300, "1E+300")]
    [InlineData(double.PositiveInfinity, "+Inf")]
    public async Task Sample_Value_IsWhatPrometheusReads(double value, string expected)
    {
        string text = await WriteAsync(text => text.Sample("serve_a", value));

        Assert.Equal($"serve_a {expected}\n", text);
    }

    [Fact]
    public async Task Histogram_Values_AreCountedUpToEachBoundWithItselfIncluded()
    {
        StripedHistogram histogram = new(HistogramBuckets.Sizes);
        foreach (long value in (long[])[1, 2, 3, 1024, 1025, 0])
        {
            histogram.Record(value);
        }

        Exposition read = Exposition.Parse(await WriteAsync(text =>
        {
            text.Family("serve_sizes", "histogram", "Sizes.");
            text.Histogram("serve_sizes", [new("application", "a")], histogram);
        }));

        Assert.Equal(
            ["1 2", "2 3", "4 4", "8 4", "16 4", "32 4", "64 4", "128 4", "256 4", "512 4", "1024 5", "+Inf 6"],
            read["serve_sizes"].Samples.Where(s => s.Name == "serve_sizes_bucket").Select(s => $"{s.Labels["le"]} {s.Value}"));
        Assert.Equal((2055.0, 6.0), (read.Sum("serve_sizes_sum"), read.Sum("serve_sizes_count")));
    }

    [Fact]
    public async Task FlushAsync_ReaderHasLeft_IsOver()
    {
        Pipe pipe = new(new PipeOptions(pauseWriterThreshold: 0));
        PrometheusText text = new(pipe.Writer);
        await pipe.Reader.CompleteAsync();

        text.Sample("serve_a", 1);
        await text.FlushAsync(always: true);

        Assert.True(text.IsOver);
    }

    private static async Task<string> WriteAsync(Action<PrometheusText> write)
    {
        using MemoryStream stream = new();
        PrometheusText text = new(PipeWriter.Create(stream));
        write(text);
        await text.FlushAsync(always: true);
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}
