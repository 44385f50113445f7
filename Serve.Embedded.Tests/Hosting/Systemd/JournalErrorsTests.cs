using Serve.Embedded.Hosting.Systemd;
using Xunit;

namespace Serve.Embedded.Tests.Hosting.Systemd;

public sealed class JournalErrorsTests
{
    [Fact]
    public async Task WriteLineAsync_SeveralLines_EachHasItsLevel()
    {
        using StringWriter journal = new() { NewLine = "\n" };
        await using JournalErrors errors = new(journal);

        await errors.WriteLineAsync("config.toml:1:2: warning: x has no effect");
        await errors.WriteLineAsync("config.toml:3:4: unknown key y\n\nNothing is changed.");
        await errors.WriteAsync("the end\n");

        Assert.Equal("<4>config.toml:1:2: warning: x has no effect\n<3>config.toml:3:4: unknown key y\n\n<3>Nothing is changed.\n<3>the end\n", journal.ToString());
    }
}
