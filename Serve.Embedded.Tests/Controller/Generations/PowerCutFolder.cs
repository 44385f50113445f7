using Serve.Embedded.Controller.Generations;

namespace Serve.Embedded.Tests.Controller.Generations;

/// <summary>The power fails: whoever was writing is no more.</summary>
internal sealed class PowerCutException : Exception;

/// <summary>
/// A disk that loses what was not flushed. The power fails at a chosen operation; then of each file some of its unflushed bytes survive, from its beginning, and of the changes of names after the last
/// flush of the folder any may have reached the disk, whatever came before or after them. Chance decides which.
/// </summary>
internal sealed class PowerCutFolder : IStateFolder
{
    private readonly Dictionary<string, Inode> _onDisk = new(StringComparer.Ordinal);
    private readonly List<Change> _unflushed = [];
    private Dictionary<string, Inode> _seen = new(StringComparer.Ordinal);
    private bool _isOff;

    public string Path => "/disk";

    /// <summary>The operation before which the power fails, counted from the last start; 0 = it does not.</summary>
    public int CutAt { get; set; }

    public int Operations { get; private set; }

    /// <summary>Called before each operation.</summary>
    public Action OnOperation { get; set; } = static () => { };

    /// <summary>Flushing a file does nothing: a fault that a test of the store must see.</summary>
    public bool ForgetsFileFlush { get; init; }

    /// <summary>Flushing the folder does nothing: likewise.</summary>
    public bool ForgetsFolderFlush { get; init; }

    /// <summary>The state after the power has come back, with these chances.</summary>
    public void Restart(Random chance)
    {
        foreach (Change change in _unflushed)
        {
            if (chance.Next(2) == 0)
            {
                change.Apply(_onDisk);
            }
        }

        foreach (Inode inode in _onDisk.Values.Distinct())
        {
            inode.LosePower(chance);
        }

        _unflushed.Clear();
        _seen = new(_onDisk, StringComparer.Ordinal);
        _isOff = false;
        Operations = 0;
        CutAt = 0;
    }

    /// <summary>Puts a file there as if it had always been.</summary>
    public void Put(string name, byte[] content)
    {
        Inode inode = new();
        inode.Write(content);
        inode.Flush();
        _onDisk[name] = inode;
        _seen[name] = inode;
    }

    public void Open() => Operate();

    public IReadOnlyList<string> List()
    {
        Operate();
        return [.. _seen.Keys];
    }

    public byte[] Read(string name)
    {
        Operate();
        return _seen.TryGetValue(name, out Inode? inode) ? inode.Content : throw new FileNotFoundException($"no {name}");
    }

    public IStateFile Create(string name)
    {
        Operate();
        Inode inode = new();
        Do(new(name, inode, null));
        return new OpenFile(this, inode);
    }

    public void Rename(string name, string newName)
    {
        Operate();
        Do(new(newName, _seen[name], name));
    }

    public void Delete(string name)
    {
        Operate();
        if (_seen.ContainsKey(name))
        {
            Do(new(null, null, name));
        }
    }

    public void Flush()
    {
        Operate();
        if (ForgetsFolderFlush)
        {
            return;
        }

        foreach (Change change in _unflushed)
        {
            change.Apply(_onDisk);
        }

        _unflushed.Clear();
    }

    public void Close()
    {
    }

    private void Operate()
    {
        OnOperation();
        if (_isOff || ++Operations == CutAt)
        {
            _isOff = true;
            throw new PowerCutException();
        }
    }

    private void Do(Change change)
    {
        change.Apply(_seen);
        _unflushed.Add(change);
    }

    private sealed record Change(string? Adds, Inode? Inode, string? Removes)
    {
        public void Apply(Dictionary<string, Inode> names)
        {
            if (Removes is not null)
            {
                names.Remove(Removes);
            }

            if (Adds is not null)
            {
                names[Adds] = Inode!;
            }
        }
    }

    private sealed class Inode
    {
        private int _flushed;

        public byte[] Content { get; private set; } = [];

        public void Write(ReadOnlySpan<byte> bytes) => Content = [.. Content, .. bytes];

        public void Flush() => _flushed = Content.Length;

        public void LosePower(Random chance)
        {
            int unflushed = Content.Length - _flushed;
            int survive = chance.Next(4) switch { 0 => 0, 1 => unflushed, _ => chance.Next(unflushed + 1) };
            Content = Content[..(_flushed + survive)];
            _flushed = Content.Length;
        }
    }

    private sealed class OpenFile(PowerCutFolder disk, Inode inode) : IStateFile
    {
        public void Write(ReadOnlySpan<byte> bytes)
        {
            // The power may fail while it is written: then a part of it has been.
            inode.Write(bytes[..(bytes.Length / 2)]);
            disk.Operate();
            inode.Write(bytes[(bytes.Length / 2)..]);
        }

        public void Flush()
        {
            disk.Operate();
            if (!disk.ForgetsFileFlush)
            {
                inode.Flush();
            }
        }

        public void Dispose()
        {
        }
    }
}
