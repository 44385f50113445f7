using Serve.Embedded.Config;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Admin;

/// <summary>What the admin port may ask of the server.</summary>
internal interface IAdminControl
{
    /// <summary>Everything there is to show, taken at one instant.</summary>
    AdminView View { get; }

    /// <summary>What is measured.</summary>
    ServeTelemetry Telemetry { get; }

    /// <summary>The goal states that were accepted, oldest first.</summary>
    IReadOnlyList<Generation> Generations { get; }

    /// <summary>Judges a configuration by what is compiled in. JSON may leave tables out, which then stay as they are; TOML is a whole file.</summary>
    /// <param name="utf8">Its text.</param>
    /// <param name="isJson">Which of the two it is.</param>
    /// <param name="source">What errors call it.</param>
    /// <param name="folder">That of the file that it came from, from which TOML sees the folders of workers; <see langword="null"/>, or not there = that of the server's own file.</param>
    ConfigResult Read(ReadOnlySpan<byte> utf8, bool isJson, string source, string? folder);

    /// <summary>Makes a configuration the goal. Whether it comes up is told by its generation.</summary>
    Task<Generation> DeployAsync(ServeConfig config, bool force, bool atomic);

    /// <summary>Makes an earlier generation the goal again, as a new one.</summary>
    /// <param name="number"><see langword="null"/> = the good one before the one that runs.</param>
    /// <exception cref="AdminRefusedException">There is no such generation, or it is no longer valid.</exception>
    Task<Generation> RollbackAsync(int? number);

    /// <summary>Sets one deployment's replicas, as part of the goal.</summary>
    /// <exception cref="AdminRefusedException">There is no such deployment, or it scales by itself.</exception>
    Task ScaleAsync(string application, string deployment, int replicas);

    /// <summary>Ends the server as SIGTERM does.</summary>
    void Shutdown();
}

/// <summary>What was asked for cannot be done, in words for who asked.</summary>
internal sealed class AdminRefusedException(string message, int statusCode = 400) : Exception(message)
{
    public int StatusCode => statusCode;
}
