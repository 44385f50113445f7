namespace Serve.Embedded.Controller.Generations;

/// <summary>
/// The seam under every file operation of the store. What is not flushed, and a change of names after which the folder was not flushed, may be lost when the power fails; a test fails it at each of
/// these operations in turn. Names are names in the folder. Failures are <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>.
/// </summary>
internal interface IStateFolder
{
    /// <summary>For people: where it is.</summary>
    string Path { get; }

    /// <summary>Makes the folder and locks it; does nothing when it is locked already.</summary>
    /// <exception cref="StateLockedException">Another server has it.</exception>
    void Open();

    /// <summary>All entries, in any order.</summary>
    IReadOnlyList<string> List();

    byte[] Read(string name);

    /// <summary>Makes the file anew, empty, whether it existed or not.</summary>
    IStateFile Create(string name);

    /// <summary>Takes the place of what had the new name.</summary>
    void Rename(string name, string newName);

    void Delete(string name);

    /// <summary>Puts names on the disk: what was created, renamed or deleted since stays so.</summary>
    void Flush();

    /// <summary>Gives the lock back.</summary>
    void Close();
}

/// <summary>A file that is being written.</summary>
internal interface IStateFile : IDisposable
{
    void Write(ReadOnlySpan<byte> bytes);

    /// <summary>Puts the bytes on the disk.</summary>
    void Flush();
}

/// <summary>Two servers that write one history would destroy it.</summary>
internal sealed class StateLockedException(string message) : Exception(message);
