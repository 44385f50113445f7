using Serve.Embedded.Cli;

namespace Serve.Embedded.Tests.Cli;

public sealed class TableTests
{
    [Fact]
    public void Align_LastCellOfSeveralLines_IsIndentedBelowItsRow() => Assert.Equal(
        """
        NAME  MESSAGE
        a     failed
            Traceback:
              line 1
        bcd
        """,
        Table.Align([["NAME", "MESSAGE"], ["a", "failed\nTraceback:\n  line 1\n"], ["bcd", ""]]));
}
