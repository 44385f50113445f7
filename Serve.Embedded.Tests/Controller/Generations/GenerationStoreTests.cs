using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Config;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Config;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Controller.Generations;

public sealed class GenerationStoreTests : IDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly FakeLogger _logger = new();
    private readonly PowerCutFolder _disk = new();
    private readonly string _folder = Path.Combine(Path.GetTempPath(), "serve-tests-" + Guid.NewGuid().ToString("N"));

    public void Dispose()
    {
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    [Fact]
    public void Add_ThenReopened_GivesTheSameGenerationBack()
    {
        using (GenerationStore store = OpenReal())
        {
            store.Add(Port(1), GenerationSource.File, "/etc/serve/config.toml");
            _time.Advance(TimeSpan.FromSeconds(3));
            Assert.True(store.MarkGood(1));
            store.Add(Port(2), GenerationSource.Hangup, "/etc/serve/config.toml");
            Assert.True(store.MarkFailed(2, "no replica \"started\"\nat all"));
            store.Add(Port(1), GenerationSource.Rest, restoredFrom: 1);
            Assert.True(store.MarkGood(3));
            IReadOnlyList<Generation> before = store.All;
            store.Dispose();

            using GenerationStore again = OpenReal();

            Assert.Equal(before, again.All);
            Assert.Equal(_time.GetUtcNow(), again.Find(1)!.EndedAt);
            Assert.Equal(3, again.LastGood!.Number);
            Assert.Null(again.Trouble);
        }

        Assert.Empty(_logger.Collector.GetSnapshot());
    }

    [Fact]
    public void Amend_ThenReopened_HasTheOtherCodeAndIsThatGenerationStill()
    {
        using (GenerationStore store = OpenReal())
        {
            store.Add(Port(1), GenerationSource.File, code: "broken");
            store.MarkFailed(1, "it cannot be imported");
            store.Amend(1, "mended");
            store.Amend(7, "nobody's");
            store.MarkGood(1);
        }

        using GenerationStore again = OpenReal();

        Generation only = Assert.Single(again.All);
        Assert.Equal(("mended", GenerationOutcome.Good), (only.Code, only.Outcome));
        Assert.Equal(1, again.Add(Port(1), GenerationSource.File, code: "mended").Number);
    }

    [Fact]
    public void Read_AnyConfiguration_GivesAnEqualOneBack()
    {
        RandomConfig random = new(7);
        for (int i = 0; i < 200; i++)
        {
            ServeConfig config = random.Next();
            Generation generation = new(1, _time.GetUtcNow(), GenerationSource.Code, null, ConfigWriter.ToJson(config));
            Assert.True(GenerationText.TryRead(GenerationText.Write(generation), 1, out Generation? back, out string? wrong, out _), wrong);
            Assert.Equal(generation, back);
            Assert.Equal(config, back.Read(TestCatalog.Builtin).Config);
        }
    }

    [Fact]
    public void Read_ByAnExecutableWithoutTheApplication_SaysWhichGeneration()
    {
        using GenerationStore store = OpenMemory();
        store.Add(new() { Applications = new([new() { Name = "a", ImportPath = "builtin:slow" }]) }, GenerationSource.Rest);

        ConfigResult read = store.Find(1)!.Read(new ConfigCatalog(new Dictionary<string, IReadOnlyList<string>>()));

        Assert.False(read.IsValid);
        Assert.StartsWith("generation 1:", read.Errors[0].ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Add_MoreThanAreKept_KeepsTheNewestAndTheLastGoodOne()
    {
        GenerationStore store = Open();
        for (int i = 1; i <= 30; i++)
        {
            store.Add(Port(i), GenerationSource.Rest);
            _ = i <= 3 ? store.MarkGood(i) : store.MarkFailed(i, "bad");
        }

        int[] expected = [3, .. Enumerable.Range(11, 20)];
        Assert.Equal(expected, store.All.Select(g => g.Number));
        Assert.Equal(expected, Open().All.Select(g => g.Number));
        Assert.Equal(expected.Select(n => $"{n:D6}.json"), _disk.List().Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Add_TheNewestGoalAgain_IsNoNewGeneration()
    {
        GenerationStore store = Open();
        store.Add(Port(1), GenerationSource.File);
        store.MarkGood(1);

        Assert.Same(store.Find(1), store.Add(Port(1), GenerationSource.Hangup));
        Assert.Single(store.All);

        store.Add(Port(2), GenerationSource.File);
        store.MarkFailed(2, "bad");
        Generation again = store.Add(Port(2), GenerationSource.File);

        Assert.Equal((2, GenerationOutcome.Pending, null, null), (again.Number, again.Outcome, again.Reason, again.EndedAt));
        Assert.True(store.MarkGood(2));
        Assert.Equal(3, store.Add(Port(1), GenerationSource.File).Number);
    }

    [Fact]
    public void Mark_WhatMayNotBecomeOfIt_ChangesNothing()
    {
        GenerationStore store = Open();
        store.Add(Port(1), GenerationSource.File);

        Assert.False(store.MarkGood(2));
        Assert.True(store.MarkFailed(1, "first"));
        Assert.False(store.MarkFailed(1, "second"));
        Assert.False(store.MarkSuperseded(1, "too late"));
        Assert.True(store.MarkGood(1));
        Assert.False(store.MarkFailed(1, "was good"));
        Assert.False(store.MarkGood(1));
        Assert.Equal((GenerationOutcome.Good, null), (store.Find(1)!.Outcome, store.Find(1)!.Reason));
        store.Add(Port(2), GenerationSource.File);
        Assert.True(store.MarkSuperseded(2, "3 came"));
        Assert.False(store.MarkGood(2));
    }

    [Fact]
    public void GoodBefore_AfterRollbacks_LeadsFurtherBack()
    {
        GenerationStore store = Open();
        for (int i = 1; i <= 4; i++)
        {
            store.Add(Port(i), GenerationSource.File);
            _ = i == 3 ? store.MarkFailed(i, "bad") : store.MarkGood(i);
        }

        Assert.Equal(2, store.GoodBefore(4)!.Number);
        store.Add(Port(2), GenerationSource.Rest, restoredFrom: 2);
        store.MarkGood(5);
        Assert.Equal(1, store.GoodBefore(5)!.Number);
        store.Add(Port(1), GenerationSource.Rest, restoredFrom: 1);
        store.MarkGood(6);
        Assert.Null(store.GoodBefore(6));
        Assert.Null(store.GoodBefore(1));
    }

    [Fact]
    public void Open_WithAPendingOne_SupersedesIt()
    {
        Open().Add(Port(1), GenerationSource.File);

        GenerationStore again = Open();

        Assert.Equal(GenerationOutcome.Superseded, again.Find(1)!.Outcome);
        Assert.Contains("ended before", again.Find(1)!.Reason, StringComparison.Ordinal);
        Assert.Equal(again.All, Open().All);
    }

    [Fact]
    public void Open_DamagedFiles_PutsThemAsideAndNeverUsesTheirNumbers()
    {
        GenerationStore store = Open();
        store.Add(Port(1), GenerationSource.File);
        store.MarkGood(1);
        byte[] good = _disk.Read("000001.json");
        byte[] flipped = [.. good];
        flipped[good.Length / 2] ^= 1;
        Dictionary<string, byte[]> damaged = new()
        {
            ["000002.json"] = [],
            ["000003.json"] = good[..(good.Length / 2)],
            ["000004.json"] = new byte[good.Length],
            ["000005.json"] = flipped,
            ["000006.json"] = good,
            ["000007.json"] = "[1, 2]"u8.ToArray(),
            ["000008.json"] = "{\"format\": 1, \"generation\": 3}"u8.ToArray(),
            ["000009.json"] = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(good).Replace("\\\"port\\\": 1", "\\\"port\\\": 2", StringComparison.Ordinal)),
        };
        foreach ((string name, byte[] content) in damaged)
        {
            _disk.Put(name, content);
        }

        GenerationStore again = Open();

        Assert.Equal([1], again.All.Select(g => g.Number));
        Assert.Null(again.Trouble);
        Assert.Equal(damaged.Count, Logged(EventIds.GenerationSetAside));
        foreach ((string name, byte[] content) in damaged)
        {
            Assert.Equal(content, _disk.Read(name + ".damaged"));
        }

        Assert.Equal(10, again.Add(Port(2), GenerationSource.File).Number);
        _logger.Collector.Clear();
        Assert.Equal(2, Open().All.Count);
        Assert.Empty(_logger.Collector.GetSnapshot());
    }

    [Fact]
    public void Open_FilesOfOthers_LeavesThemAloneAndSaysSo()
    {
        _disk.Put("README", [1]);
        _disk.Put("000004.json", "{\"format\": 2, \"generation\": {}}"u8.ToArray());
        _disk.Put("3.json", [2]);
        _disk.Put("000002.json.new", [3]);

        GenerationStore store = Open();

        Assert.Empty(store.All);
        Assert.Equal(3, Logged(EventIds.GenerationFileIgnored));
        Assert.Equal(1, Logged(EventIds.GenerationWriteUnfinished));
        Assert.Equal(["000004.json", "3.json", "README"], _disk.List().Order(StringComparer.Ordinal));
        Assert.Equal(5, store.Add(Port(1), GenerationSource.File).Number);
    }

    [Fact]
    public void Add_OnAFullDisk_GoesOnInMemoryAndSavesAllOnceThereIsRoom()
    {
        FullDisk disk = new(_disk);
        GenerationStore store = GenerationStore.Open(disk, _time, _logger);
        store.Add(Port(1), GenerationSource.File);
        disk.IsFull = true;

        store.MarkGood(1);
        store.Add(Port(2), GenerationSource.Rest);
        store.MarkGood(2);

        Assert.Equal([GenerationOutcome.Good, GenerationOutcome.Good], store.All.Select(g => g.Outcome));
        Assert.Contains("No space left", store.Trouble, StringComparison.Ordinal);
        Assert.Contains("/disk", store.Trouble, StringComparison.Ordinal);
        Assert.Equal(1, Logged(EventIds.GenerationsInMemory));
        Assert.DoesNotContain("000002.json", _disk.List());
        Assert.DoesNotContain(_disk.List(), name => name.EndsWith(".new", StringComparison.Ordinal));

        disk.IsFull = false;
        store.Add(Port(3), GenerationSource.Rest);

        Assert.Null(store.Trouble);
        Assert.Equal(1, Logged(EventIds.GenerationsSaved));
        store.MarkFailed(3, "bad");
        Assert.Equal(store.All, Open().All);
    }

    [Fact]
    public void Open_OnADiskThatCannotBeWritten_ReadsWhatIsThere()
    {
        GenerationStore writer = Open();
        writer.Add(Port(1), GenerationSource.File);
        writer.MarkGood(1);
        FullDisk disk = new(_disk) { CannotOpen = true };

        GenerationStore store = GenerationStore.Open(disk, _time, _logger);

        Assert.Equal(1, store.LastGood!.Number);
        Assert.NotNull(store.Trouble);
        Assert.Equal(2, store.Add(Port(2), GenerationSource.File).Number);

        // Meanwhile somebody else has written a generation 2: ours must not take its place.
        writer.Add(Port(9), GenerationSource.File);
        byte[] theirs = _disk.Read("000002.json");
        disk.CannotOpen = false;
        store.MarkGood(2);

        Assert.Contains("start the server again", store.Trouble, StringComparison.Ordinal);
        Assert.Equal(theirs, _disk.Read("000002.json"));
    }

    [Fact]
    public void Open_WithoutAFolder_IsInMemoryAndSaysSo()
    {
        using GenerationStore store = OpenMemory();

        store.Add(Port(1), GenerationSource.Code);

        Assert.Single(store.All);
        Assert.Contains("state_dir", store.Trouble, StringComparison.Ordinal);
        Assert.Null(store.Folder);
    }

    [Fact]
    public void Open_BelowAFile_IsTroubleAndNoFailure()
    {
        Directory.CreateDirectory(_folder);
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "");

        using GenerationStore store = GenerationStore.Open(Path.Combine(file, "state"), _time, _logger);
        store.Add(Port(1), GenerationSource.File);

        Assert.NotNull(store.Trouble);
        Assert.Equal(1, Logged(EventIds.GenerationsInMemory));
    }

    [Fact]
    public void Open_WhileAnotherServerHasIt_NamesTheProcess()
    {
        using GenerationStore first = OpenReal();

        StateLockedException exception = Assert.Throws<StateLockedException>(OpenReal);

        Assert.Contains(_folder, exception.Message, StringComparison.Ordinal);
        if (OperatingSystem.IsLinux())
        {
            Assert.Contains($"process {Environment.ProcessId},", exception.Message, StringComparison.Ordinal);
        }

        first.Dispose();
        OpenReal().Dispose();
    }

    [Fact]
    public void Open_RealFolder_IsForThisUserAlone()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no file modes.");
            return;
        }

        string below = Path.Combine(_folder, "a", "b");
        using GenerationStore store = GenerationStore.Open(below, _time, _logger);
        store.Add(Port(1), GenerationSource.File);

        Assert.Null(store.Trouble);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(below));
        foreach (string file in Directory.GetFiles(below))
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        }

        Assert.Equal(2, Directory.GetFiles(below).Length);
    }

    [Fact]
    public async Task Add_FromManyThreads_LosesNone()
    {
        GenerationStore store = Open();

        await Task.WhenAll(Enumerable.Range(1, 16).Select(i => Task.Run(() => store.MarkGood(store.Add(Port(i), GenerationSource.Rest).Number))));

        Assert.Equal(Enumerable.Range(1, 16), store.All.Select(g => g.Number));
        Assert.All(store.All, g => Assert.Equal(GenerationOutcome.Good, g.Outcome));
        Assert.Equal(store.All, Open().All);
    }

    /// <summary>Whoever reads that a generation is there, or is good, may pull the plug: by then it is on the disk.</summary>
    [Fact]
    public void Change_WhileTheDiskWorksOnIt_IsNotShownYet()
    {
        GenerationStore store = Open();
        List<string> shown = [];
        _disk.OnOperation = () => shown.Add(string.Join(' ', store.All.Select(g => $"{g.Number} {g.Outcome}")));

        store.Add(Port(1), GenerationSource.File);
        Assert.All(shown, text => Assert.Equal("", text));
        Assert.NotEmpty(shown);
        shown.Clear();
        store.MarkGood(1);

        Assert.All(shown, text => Assert.Equal("1 Pending", text));
        Assert.NotEmpty(shown);
        Assert.Equal(GenerationOutcome.Good, store.All[^1].Outcome);
    }

    private static ServeConfig Port(int port) => new() { Http = new HttpOptionsConfig { Port = port } };

    private GenerationStore Open() => GenerationStore.Open(_disk, _time, _logger);

    private GenerationStore OpenReal() => GenerationStore.Open(_folder, _time, _logger);

    private GenerationStore OpenMemory() => GenerationStore.Open((string?)null, _time, _logger);

    private int Logged(int id) => _logger.Collector.GetSnapshot().Count(r => r.Id.Id == id);

    private sealed class FullDisk(PowerCutFolder disk) : IStateFolder
    {
        public bool IsFull { get; set; }

        public bool CannotOpen { get; set; }

        public string Path => disk.Path;

        public void Open()
        {
            if (CannotOpen)
            {
                throw new IOException("Read-only file system");
            }

            disk.Open();
        }

        public IReadOnlyList<string> List() => disk.List();

        public byte[] Read(string name) => disk.Read(name);

        public IStateFile Create(string name) => new File(this, disk.Create(name));

        public void Rename(string name, string newName) => disk.Rename(name, newName);

        public void Delete(string name) => disk.Delete(name);

        public void Flush() => disk.Flush();

        public void Close() => disk.Close();

        private sealed class File(FullDisk owner, IStateFile file) : IStateFile
        {
            public void Write(ReadOnlySpan<byte> bytes)
            {
                if (owner.IsFull)
                {
                    throw new IOException("No space left on device");
                }

                file.Write(bytes);
            }

            public void Flush() => file.Flush();

            public void Dispose() => file.Dispose();
        }
    }
}
