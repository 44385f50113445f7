using Serve.Embedded.Config;

namespace Serve.Embedded.Cli;

/// <summary>The words after a command, sorted into options and the rest.</summary>
internal sealed class CliArguments
{
    private readonly Dictionary<string, List<string>> _options = new(StringComparer.Ordinal);

    private CliArguments()
    {
    }

    public List<string> Positional { get; } = [];

    /// <summary>Options that were given once each, with their values.</summary>
    public IReadOnlyDictionary<string, string> Single => _options.ToDictionary(o => o.Key, o => o.Value[^1], StringComparer.Ordinal);

    /// <exception cref="UsageException">A word that the command does not know, or a value that is missing.</exception>
    public static CliArguments Parse(IReadOnlyList<string> words, IReadOnlyList<CliOption> options)
    {
        CliArguments arguments = new();
        bool onlyPositional = false;
        for (int i = 0; i < words.Count; i++)
        {
            string word = words[i];
            if (onlyPositional || !word.StartsWith('-') || word == "-")
            {
                arguments.Positional.Add(word);
            }
            else if (word == "--")
            {
                onlyPositional = true;
            }
            else
            {
                int equals = word.IndexOf('=', StringComparison.Ordinal);
                string name = equals < 0 ? word : word[..equals];
                CliOption option = options.FirstOrDefault(o => o.Name == name) ?? throw Unknown(name, options);
                string value = string.Empty;
                if (option.Value is null && equals >= 0)
                {
                    throw new UsageException($"{name} takes no value.");
                }

                if (option.Value is not null)
                {
                    value = equals >= 0 ? word[(equals + 1)..]
                        : i + 1 < words.Count ? words[++i]
                        : throw new UsageException($"{name} needs a value: {name} {option.Value}.");
                }

                arguments.Add(option, value);
            }
        }

        return arguments;
    }

    public bool Has(string option) => _options.ContainsKey(option);

    public string? Value(string option) => _options.TryGetValue(option, out List<string>? values) ? values[^1] : null;

    public IReadOnlyList<string> Values(string option) => _options.TryGetValue(option, out List<string>? values) ? values : [];

    private static UsageException Unknown(string name, IReadOnlyList<CliOption> options)
    {
        string? meant = ClosestName.Find(name, options.Select(o => o.Name));
        return new($"Unknown option {name}{(meant is null ? "." : $"; did you mean {meant}?")}");
    }

    private void Add(CliOption option, string value)
    {
        if (!_options.TryGetValue(option.Name, out List<string>? values))
        {
            _options[option.Name] = [value];
        }
        else if (option.Repeats)
        {
            values.Add(value);
        }
        else
        {
            throw new UsageException($"{option.Name} is given twice.");
        }
    }
}

/// <summary>The command line is wrong, in words for who wrote it. Exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
