using System.Globalization;
using System.Numerics;

namespace Serve.Embedded.Config;

/// <summary>A whole number in a range; <paramref name="note"/> names the values with a meaning of their own.</summary>
internal sealed class IntegerType<T>(T min, T max, string note = "") : ConfigType<T>
    where T : struct, IBinaryInteger<T>
{
    public override string Expected { get; } = string.Create(CultureInfo.InvariantCulture, $"an integer from {min} to {max}{note}");

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out T value)
    {
        value = default;
        if (node.Kind != ConfigNodeKind.Integer || node.Integer < long.CreateChecked(min) || node.Integer > long.CreateChecked(max))
        {
            return Refuse(key, node, errors);
        }

        value = T.CreateChecked(node.Integer);
        return true;
    }

    public override ConfigNode ToNode(T value) => ConfigNode.Of(long.CreateChecked(value));
}

/// <summary>One of a few numbers.</summary>
internal sealed class ChoiceType(params int[] choices) : ConfigType<int>
{
    public override string Expected { get; } = string.Join(" or ", choices);

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out int value)
    {
        value = choices.FirstOrDefault(choice => choice == node.Integer);
        return (node.Kind == ConfigNodeKind.Integer && choices.Contains(value)) || Refuse(key, node, errors);
    }

    public override ConfigNode ToNode(int value) => ConfigNode.Of(value);
}

/// <summary>A number of seconds as it is, for a value that is never turned into a wait here.</summary>
internal sealed class NumberType(double min, double max) : ConfigType<double>
{
    public override string Expected { get; } = string.Create(CultureInfo.InvariantCulture, $"a number from {min} to {max}");

    /// <summary>TOML and JSON write whole numbers without a point; NaN fails every comparison and so is refused.</summary>
    public static bool TryRead(ConfigNode node, double min, double max, out double value)
    {
        value = node.Kind == ConfigNodeKind.Integer ? node.Integer : node.Float;
        return node.Kind is ConfigNodeKind.Integer or ConfigNodeKind.Float && value >= min && value <= max;
    }

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out double value) =>
        TryRead(node, min, max, out value) || Refuse(key, node, errors);

    public override ConfigNode ToNode(double value) => ConfigNode.Of(value);
}

/// <summary>A time in seconds. Nothing is rounded on the way there and back but to the 100 ns of a <see cref="TimeSpan"/>.</summary>
internal sealed class SecondsType(double min, double max) : ConfigType<TimeSpan>
{
    /// <summary>30 days: timers of the runtime end at 49 days.</summary>
    public const double Longest = 30 * 24 * 3600;

    /// <summary>The resolution of timers; a shorter time that is not 0 would be no time at all.</summary>
    public const double Shortest = 0.001;

    public override string Expected { get; } = string.Create(CultureInfo.InvariantCulture, $"a number of seconds from {min} to {max}");

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out TimeSpan value)
    {
        value = default;
        if (!NumberType.TryRead(node, min, max, out double seconds))
        {
            return Refuse(key, node, errors);
        }

        value = new TimeSpan((long)Math.Round(seconds * TimeSpan.TicksPerSecond));
        return true;
    }

    public override ConfigNode ToNode(TimeSpan value) => ConfigNode.Of((double)value.Ticks / TimeSpan.TicksPerSecond);
}

/// <summary>A limit in seconds that 0 takes away; <paramref name="none"/> is how the record says that.</summary>
internal sealed class SecondsOrNoneType(TimeSpan? none) : ConfigType<TimeSpan?>
{
    private static readonly SecondsType Seconds = new(SecondsType.Shortest, SecondsType.Longest);

    public override string Expected => $"{Seconds.Expected}, or 0 for none";

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out TimeSpan? value)
    {
        value = none;
        if (NumberType.TryRead(node, 0, 0, out _))
        {
            return true;
        }

        if (!NumberType.TryRead(node, SecondsType.Shortest, SecondsType.Longest, out _))
        {
            return Refuse(key, node, errors);
        }

        bool read = Seconds.TryRead(key, node, errors, out TimeSpan some);
        value = some;
        return read;
    }

    public override ConfigNode? ToNode(TimeSpan? value) =>
        value is not TimeSpan some ? null : some == none ? ConfigNode.Of(0.0) : Seconds.ToNode(some);
}
