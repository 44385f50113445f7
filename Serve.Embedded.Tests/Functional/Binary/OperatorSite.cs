namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>What outlives a server on an operator's machine: a configuration file, and a folder for state that no other test sees.</summary>
internal sealed class OperatorSite : IDisposable
{
    private readonly TempFolder _folder = new();

    private readonly string? _program;

    /// <param name="config">The file.</param>
    /// <param name="program">The executable; <see langword="null"/> = the published one.</param>
    public OperatorSite(string config, string? program = null)
    {
        _program = program;
        ConfigPath = _folder.Write("config.toml", config);
        Environment = ServeProcess.StateBelow(_folder.Path);
    }

    public string ConfigPath { get; }

    public Dictionary<string, string> Environment { get; }

    public string Folder => _folder.Path;

    /// <inheritdoc cref="Invocation.Shell"/>
    public string? Shell { get; set; }

    public string Write(string config) => Write("config.toml", config);

    public string Write(string name, string text) => _folder.Write(name, text);

    /// <summary><c>serve run</c> with the file, until it is ready.</summary>
    public Task<ServeProcess> StartAsync(params string[] options) => CommandAsync(["run", ConfigPath, .. options]);

    /// <summary>A command that serves, until it is ready.</summary>
    public async Task<ServeProcess> CommandAsync(params string[] command)
    {
        ServeProcess server = ServeProcess.Follow(
            ServeBinary.Start(new() { Program = _program, Arguments = [.. command, "--port", "0", "--admin-port", "0"], Directory = Folder, Environment = Environment, Shell = Shell }), ConfigPath);
        try
        {
            await server.ReadyAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>A command for the server, to its end.</summary>
    public Task<Finished> RunAsync(ServeProcess server, params string[] arguments) => ServeBinary.RunAsync(Command(arguments) with
    {
        Environment = new Dictionary<string, string>(Environment) { ["SERVE_ADDRESS"] = server.AdminAddress.ToString() },
    });

    /// <summary>How a command is called here.</summary>
    public Invocation Command(params string[] arguments) => new() { Program = _program, Arguments = arguments, Directory = Folder, Environment = Environment };

    public void Dispose() => _folder.Dispose();
}
