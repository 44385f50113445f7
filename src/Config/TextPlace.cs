namespace Serve.Embedded.Config;

/// <summary>A place in a text as an editor shows it: both numbers start at 1. <see langword="default"/> = no place (a file that cannot be read, a flag).</summary>
internal readonly record struct TextPlace(int Line, int Column) : IComparable<TextPlace>
{
    public int CompareTo(TextPlace other) => (Line, Column).CompareTo((other.Line, other.Column));
}
