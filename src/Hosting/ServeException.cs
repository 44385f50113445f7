namespace Serve.Embedded;

/// <summary>The server cannot start, or cannot take a configuration: what, where, and what to do about it.</summary>
public sealed class ServeException : Exception
{
    internal ServeException(string message, Exception? inner = null)
        : base(message, inner) => Errors = [message];

    internal ServeException(string message, IReadOnlyList<string> errors)
        : base($"{message}{Environment.NewLine}{string.Join(Environment.NewLine, errors)}") => Errors = errors;

    /// <summary>Everything that is wrong, one sentence each; of a configuration file with its line and column. At least one.</summary>
    public IReadOnlyList<string> Errors { get; }
}
