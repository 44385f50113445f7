using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Serve.Embedded.Tests.Fakes;

/// <summary>Prometheus' text format, read by its letter: what a lenient reader would let pass is an error here.</summary>
internal sealed partial class Exposition
{
    private readonly Dictionary<string, ExposedFamily> _families = new(StringComparer.Ordinal);

    private Exposition()
    {
    }

    public IReadOnlyCollection<ExposedFamily> Families => _families.Values;

    public IEnumerable<ExposedSample> Samples => Families.SelectMany(f => f.Samples);

    public ExposedFamily this[string family] => _families[family];

    public static Exposition Parse(string text)
    {
        Assert.EndsWith("\n", text, StringComparison.Ordinal);
        Exposition exposition = new();
        ExposedFamily? family = null;
        string? help = null;
        string? name = null;
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (string line in text[..^1].Split('\n'))
        {
            if (line.StartsWith("# HELP ", StringComparison.Ordinal))
            {
                Assert.Null(help);
                Assert.True(family is null || family.Samples.Count > 0, $"A family without a sample before: {line}");
                string[] parts = line.Split(' ', 4);
                (name, help) = (parts[2], Unescape(parts[3], quotes: false));
                Assert.Matches("^[a-z][a-z0-9_]*$", name);
            }
            else if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                string[] parts = line.Split(' ');
                Assert.Equal(4, parts.Length);
                Assert.Equal(name, parts[2]);
                Assert.NotNull(help);
                Assert.Contains(parts[3], (string[])["counter", "gauge", "histogram"]);
                family = new(parts[2], parts[3], help);
                Assert.True(exposition._families.TryAdd(family.Name, family), $"Twice: {line}");
                help = null;
            }
            else
            {
                Assert.Null(help);
                Assert.NotNull(family);
                ExposedSample sample = ParseSample(line);
                Assert.True(seen.Add($"{sample.Name}{{{sample.Key()}}}"), $"Twice: {line}");
                string suffix = sample.Name.StartsWith(family.Name, StringComparison.Ordinal) ? sample.Name[family.Name.Length..] : "?";
                Assert.True(family.Type == "histogram" ? suffix is "_bucket" or "_sum" or "_count" : suffix.Length == 0, $"Not of {family.Name}: {line}");
                family.Samples.Add(sample);
            }
        }

        foreach (ExposedFamily each in exposition.Families)
        {
            each.Check();
        }

        return exposition;
    }

    /// <summary>The sum of a family's samples whose labels have these values.</summary>
    public double Sum(string name, params (string Label, string Value)[] labels) =>
        Samples.Where(s => s.Name == name && labels.All(l => s.Labels.GetValueOrDefault(l.Label) == l.Value)).Sum(s => s.Value);

    private static ExposedSample ParseSample(string line)
    {
        Match match = Sample().Match(line);
        Assert.True(match.Success, $"No sample: {line}");
        Dictionary<string, string> labels = new(StringComparer.Ordinal);
        string rest = match.Groups["labels"].Value;
        while (rest.Length > 0)
        {
            Match label = Label().Match(rest);
            Assert.True(label.Success, $"No label: {rest} of {line}");
            labels.Add(label.Groups["name"].Value, Unescape(label.Groups["value"].Value, quotes: true));
            rest = rest[label.Length..];
            Assert.True(rest.Length == 0 || rest is [',', _, ..], $"No label: {rest} of {line}");
            rest = rest.Length == 0 ? rest : rest[1..];
        }

        string number = match.Groups["value"].Value;
        return new(match.Groups["name"].Value, labels, number == "+Inf" ? double.PositiveInfinity : double.Parse(number, NumberStyles.Float, CultureInfo.InvariantCulture));
    }

    private static string Unescape(string text, bool quotes)
    {
        StringBuilder plain = new();
        for (int i = 0; i < text.Length; i++)
        {
            Assert.False(quotes && text[i] == '"', $"A bare quote: {text}");
            plain.Append(text[i] != '\\' ? text[i] : text[++i] switch
            {
                '\\' => '\\',
                'n' => '\n',
                '"' when quotes => '"',
                char other => throw new FormatException($"\\{other} in {text}"),
            });
        }

        return plain.ToString();
    }

    [GeneratedRegex("""^(?<name>[a-z][a-z0-9_]*)(\{(?<labels>([^"]|"([^"\\]|\\.)*")+)\})? (?<value>[^ ]+)$""")]
    private static partial Regex Sample();

    [GeneratedRegex("""^(?<name>[a-z][a-z0-9_]*)="(?<value>([^"\\]|\\.)*)"(?=,|$)""")]
    private static partial Regex Label();
}

internal sealed record ExposedSample(string Name, IReadOnlyDictionary<string, string> Labels, double Value)
{
    /// <summary>Which series it is.</summary>
    public string Key(string without = "") => string.Join(',', Labels.Where(l => l.Key != without).OrderBy(l => l.Key, StringComparer.Ordinal).Select(l => $"{l.Key}={l.Value}"));
}

internal sealed record ExposedFamily(string Name, string Type, string Help)
{
    public List<ExposedSample> Samples { get; } = [];

    /// <summary>Those that a person chooses: a histogram's bounds are none.</summary>
    public IEnumerable<string> LabelNames => Samples.SelectMany(s => s.Labels.Keys).Where(l => l != "le").Distinct();

    public void Check()
    {
        Assert.NotEmpty(Samples);
        Assert.Equal(Type == "counter", Name.EndsWith("_total", StringComparison.Ordinal));
        Assert.All(Samples, s => Assert.Equal(LabelNames.Count(), s.Labels.Keys.Count(l => l != "le")));
        if (Type == "counter")
        {
            Assert.All(Samples, s => Assert.True(s.Value >= 0));
        }
        else if (Type == "histogram")
        {
            foreach (IGrouping<string, ExposedSample> series in Samples.GroupBy(s => s.Key(without: "le")))
            {
                ExposedSample[] buckets = [.. series.Where(s => s.Name.EndsWith("_bucket", StringComparison.Ordinal))];
                double[] bounds = [.. buckets.Select(b => b.Labels["le"] == "+Inf" ? double.PositiveInfinity : double.Parse(b.Labels["le"], CultureInfo.InvariantCulture))];
                Assert.Equal(bounds.Order(), bounds);
                Assert.Equal(buckets.Select(b => b.Value).Order(), buckets.Select(b => b.Value));
                Assert.Equal(double.PositiveInfinity, bounds[^1]);
                Assert.Equal(Assert.Single(series, s => s.Name == $"{Name}_count").Value, buckets[^1].Value);
                Assert.True(Assert.Single(series, s => s.Name == $"{Name}_sum").Value >= 0);
            }
        }
    }
}
