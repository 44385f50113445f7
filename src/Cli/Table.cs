namespace Serve.Embedded.Cli;

/// <summary>Rows in columns, the last column as wide as it likes; where it has several lines, those after the first are indented below the row.</summary>
internal static class Table
{
    /// <param name="rows">The first is the heading.</param>
    /// <param name="colour">Puts colour around a padded cell, given the cell as it is, its column and the padded text; <see langword="null"/> = none.</param>
    public static string Align(IReadOnlyList<string[]> rows, Func<string, int, string, string>? colour = null)
    {
        int[] widths = [.. Enumerable.Range(0, rows[0].Length - 1).Select(c => rows.Max(r => r[c].Length))];
        return string.Join('\n', rows.Select((row, i) => string.Concat(row.Select((cell, c) =>
        {
            string padded = c < widths.Length ? cell.PadRight(widths[c] + 2) : cell.TrimEnd().ReplaceLineEndings("\n    ");
            return colour is not null && i > 0 ? colour(cell, c, padded) : padded;
        })).TrimEnd()));
    }
}
