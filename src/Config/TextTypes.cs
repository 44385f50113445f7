namespace Serve.Embedded.Config;

/// <summary>Texts that more than one table of keys has.</summary>
internal static class TextTypes
{
    /// <summary>For everything that is told apart by one.</summary>
    public static readonly ConfigType<string> Name =
        new TextType("a name of ASCII letters, digits, '_', '-' and '.', at most 128 long", TextRules.Name);

    public static readonly ConfigType<string> Path = new TextType("a path", TextRules.Path);
}
