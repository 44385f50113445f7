namespace Serve.Embedded.Tests.Cli;

/// <summary>A folder for one file, gone with its test.</summary>
internal sealed class Scratch : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("serve-cli-").FullName;

    public string Write(string text)
    {
        string file = Path.Combine(_folder, "config.toml");
        File.WriteAllText(file, text);
        return file;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
