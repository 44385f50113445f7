using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;
using Xunit;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class JsonLogTests : IDisposable
{
    private readonly LogCapture _log = new(json: true);

    public void Dispose() => _log.Dispose();

    [Fact]
    public void Log_WithinARequest_HasTheContractsKeysAndTheMessagesOwn()
    {
        Scope().Enter();
        _log.Logger("MyApp").LogWarning("took {ElapsedMs} of {UserName}, {Ratio}, {Nothing}, {Limit}, {Flag}", 12, "Zoë \"Q\"", double.NaN, null, TimeSpan.FromSeconds(1), true);

        Assert.Equal(
            """
            {"levelname":"WARNING","asctime":"2026-11-23 10:19:47,123","component_name":"replica","component_id":"r1","request_id":"4f0c","application":"default","deployment":"default_Slow","replica":"r1","route":"/","message":"took 12 of Zoë \"Q\", NaN, (null), 00:00:01, True","elapsed_ms":12,"user_name":"Zoë \"Q\"","ratio":"NaN","nothing":null,"limit":"00:00:01","flag":true}
            """,
            Assert.Single(_log.Lines()));
    }

    [Fact]
    public void Log_AccessLine_HasItsParts()
    {
        RequestScope scope = Scope();
        scope.Enter();
        _log.AccessLog.Write("GET", "/", 200, TimeSpan.FromMilliseconds(12.34), scope);

        Assert.Equal(
            """
            {"levelname":"INFO","asctime":"2026-11-23 10:19:47,123","component_name":"proxy","component_id":"127.0.0.1:8000","request_id":"4f0c","application":"default","deployment":"default_Slow","replica":"r1","route":"/","message":"GET / 200 12.3ms","method":"GET","status_code":200,"latency_ms":12.3}
            """,
            Assert.Single(_log.Lines()));
    }

    [Fact]
    public void Log_MessageValueUnderAContractKey_DoesNotWriteTheKeyTwice()
    {
        Scope().Enter();
        _log.Logger("MyApp").LogInformation("{Message} {MESSAGE} {RequestId} {Deployment} {UserID} {UserId}", "m", "m2", "other", "other", 1, 2);

        JsonElement line = Parse(Assert.Single(_log.Lines()));
        Assert.Equal(line.EnumerateObject().Count(), line.EnumerateObject().DistinctBy(property => property.Name).Count());
        Assert.Equal("4f0c", line.GetProperty("request_id").GetString());
        Assert.Equal("default_Slow", line.GetProperty("deployment").GetString());
        Assert.Equal("m m2 other other 1 2", line.GetProperty("message").GetString());
        Assert.Equal(1, line.GetProperty("user_id").GetInt32());
    }

    [Fact]
    public void Log_AboutADeploymentFromOutsideARequest_UsesTheSameKeysAndForm()
    {
        Log.RefusalsLeftOut(_log.Logger(LogCategories.Controller), 37, "Slow", "default", 1);

        JsonElement line = Parse(Assert.Single(_log.Lines()));
        Assert.Equal("default_Slow", line.GetProperty("deployment").GetString());
        Assert.Equal("default", line.GetProperty("application").GetString());
        Assert.Equal("controller", line.GetProperty("component_name").GetString());
        Assert.Equal(37, line.GetProperty("count").GetInt32());
        Assert.False(line.TryGetProperty("request_id", out _));
    }

    [Fact]
    public void Log_TextFromOutside_CannotForgeALine()
    {
        const string Hostile = "x\r\n{\"levelname\":\"INFO\"}\u001b\u0085\u009b\u2028\u2029\0\ud800\"\\";
        new RequestScope { RequestId = Hostile, Application = Hostile, Deployment = Hostile, Replica = Hostile, Route = Hostile }.Enter();
        _log.Logger("MyApp").LogInformation(new InvalidOperationException(Hostile), "{Input}", Hostile);

        string text = Assert.Single(_log.Lines());
        Assert.DoesNotContain(text, char.IsControl);
        Assert.DoesNotContain('\u2028', text);
        JsonElement line = Parse(text);
        string repaired = Hostile.Replace('\ud800', '\ufffd');
        Assert.Equal(repaired, line.GetProperty("message").GetString());
        Assert.Equal(repaired, line.GetProperty("request_id").GetString());
        Assert.Contains(repaired, line.GetProperty("exc_text").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(30_000, 'x')]
    [InlineData(60_000, '\u0001')]
    [InlineData(1_000_000, '漢')]
    public void Log_HugeTexts_StayOneBoundedObject(int length, char filler)
    {
        string huge = new(filler, length);
        new RequestScope { RequestId = huge, Application = huge, Deployment = huge, Replica = huge, Route = huge }.Enter();
        _log.Logger("MyApp").LogInformation(new InvalidOperationException(huge), "{Input}", huge);
        _log.AccessLog.Write(huge, huge, 200, TimeSpan.Zero, RequestScope.Current!);

        string[] lines = _log.Lines();
        Assert.Equal(2, lines.Length);
        Assert.All(lines, line => Assert.True(Encoding.UTF8.GetByteCount(line) < LineBuffer.MaxLineBytes));
        Assert.True(Parse(lines[0]).GetProperty("truncated").GetBoolean());
        Assert.Equal(200, Parse(lines[1]).GetProperty("status_code").GetInt32());
    }

    [Fact]
    public void Log_Dropped_IsToldInTheSameForm()
    {
        Assert.False(_log.Output.Write(new byte[LogOutput.DefaultCapacity]));

        JsonElement line = Parse(Assert.Single(_log.Lines()));
        Assert.Equal("WARNING", line.GetProperty("levelname").GetString());
        Assert.Equal("1 log line was dropped because the output was slower than the log", line.GetProperty("message").GetString());
    }

    private static RequestScope Scope() =>
        new() { RequestId = "4f0c", Application = "default", Deployment = "Slow", Replica = "r1", Route = "/" };

    private static JsonElement Parse(string line)
    {
        using JsonDocument document = JsonDocument.Parse(line);
        return document.RootElement.Clone();
    }
}
