using System.Diagnostics;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary><c>serve status --watch</c>, as an operator looks at it.</summary>
internal sealed class StatusWatch(OperatorSite site, ServeProcess server) : IAsyncDisposable
{
    private readonly Process _process = ServeBinary.Start(site.Command("status", "--watch", "--address", server.AdminAddress.ToString()));

    /// <summary>The next line that contains the text, once it is written.</summary>
    public async Task<string> LineAsync(string text)
    {
        List<string> seen = [];
        while (true)
        {
            string? line = await _process.StandardOutput.ReadLineAsync(server.Deadline);
            Assert.True(line is not null, $"The status ended without '{text}'. It was:\n{string.Join('\n', seen)}");
            seen.Add(line);
            if (line.Contains(text, StringComparison.Ordinal))
            {
                return line;
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync(CancellationToken.None);
        }

        _process.Dispose();
    }
}
