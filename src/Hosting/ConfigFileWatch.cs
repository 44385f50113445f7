using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Primitives;

namespace Serve.Embedded.Hosting;

/// <summary>Tells when the configuration file has been written, once it has been left alone for a moment: editors write in several steps.</summary>
internal sealed class ConfigFileWatch : IDisposable
{
    public static readonly TimeSpan QuietTime = TimeSpan.FromMilliseconds(250);

    private readonly PhysicalFileProvider _files;
    private readonly ITimer _quiet;
    private readonly IDisposable _changes;

    /// <param name="path">The file.</param>
    /// <param name="time">The clock of the quiet moment.</param>
    /// <param name="changed">Called after each change.</param>
    public ConfigFileWatch(string path, TimeProvider time, Action changed)
    {
        _files = new(Path.GetDirectoryName(path)!);
        _quiet = time.CreateTimer(_ => changed(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _changes = ChangeToken.OnChange(() => _files.Watch(Path.GetFileName(path)), () => _quiet.Change(QuietTime, Timeout.InfiniteTimeSpan));
    }

    public void Dispose()
    {
        _changes.Dispose();
        _files.Dispose();
        _quiet.Dispose();
    }
}
