namespace Serve.Embedded.Cli;

/// <summary>One option of a command.</summary>
/// <param name="Name">With its dashes: <c>--address</c>.</param>
/// <param name="Value">What stands for its value in help; <see langword="null"/> = it takes none.</param>
/// <param name="Help">What it does.</param>
/// <param name="Repeats">Whether it may be given more than once.</param>
internal sealed record CliOption(string Name, string? Value, string Help, bool Repeats = false);
