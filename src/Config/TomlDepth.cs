namespace Serve.Embedded.Config;

/// <summary>Says where a text nests too deep, which Tomlyn does not; only used once Tomlyn has refused it for that.</summary>
internal static class TomlDepth
{
    public static TextPlace FindTooDeep(string text)
    {
        int depth = 0;
        int line = 1;
        int lineStart = 0;
        char quote = '\0';
        bool comment = false;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c == '\n')
            {
                line++;
                lineStart = i + 1;
                comment = false;
            }
            else if (quote != '\0')
            {
                i += quote == '"' && c == '\\' ? 1 : 0;
                quote = c == quote ? '\0' : quote;
            }
            else if (comment || c == '#')
            {
                comment = true;
            }
            else if (c is '"' or '\'')
            {
                quote = c;
            }
            else if (c is '[' or '{' && ++depth > ConfigNode.MaxDepth)
            {
                return new TextPlace(line, i - lineStart + 1);
            }
            else if (c is ']' or '}')
            {
                depth--;
            }
        }

        return new TextPlace(1, 1);
    }
}
