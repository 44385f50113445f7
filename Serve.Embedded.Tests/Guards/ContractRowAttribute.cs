using Xunit.v3;

namespace Serve.Embedded.Tests.Guards;

/// <summary>Which of Ray Serve's own tests this one answers for, by its number in <see cref="ContractRows"/>.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = false)]
public sealed class ContractRowAttribute(params int[] rows) : Attribute, ITraitAttribute
{
    public IReadOnlyList<int> Rows => rows;

    public IReadOnlyCollection<KeyValuePair<string, string>> GetTraits() => [.. rows.Select(row => KeyValuePair.Create("row", row.ToString(System.Globalization.CultureInfo.InvariantCulture)))];
}
