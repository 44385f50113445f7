using Xunit;

namespace Serve.Embedded.Tests.Config;

/// <summary>A file of the repository that must be what the code says it is.</summary>
internal static class RepositoryFile
{
    private static readonly string Root = FindRoot();

    public static string Path(string name) => System.IO.Path.Combine(Root, name);

    public static string Read(string name) => File.ReadAllText(Path(name));

    /// <summary>Fails where the file differs, or brings it up to date where the environment asks for that.</summary>
    public static void AssertIs(string name, string expected)
    {
        if (Environment.GetEnvironmentVariable("SERVE_UPDATE_DOCS") == "1")
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path(name))!);
            File.WriteAllText(Path(name), expected);
        }

        string actual = File.Exists(Path(name)) ? Read(name) : "";
        if (actual != expected)
        {
            Assert.Fail($"{name} is not what the table of keys says. Run the tests once with SERVE_UPDATE_DOCS=1 and look at the difference.");
        }
    }

    private static string FindRoot()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !File.Exists(System.IO.Path.Combine(directory, "Serve.Embedded.csproj")))
        {
            directory = System.IO.Path.GetDirectoryName(directory);
        }

        return directory ?? throw new InvalidOperationException("The tests do not run inside the repository.");
    }
}
