using System.Reflection;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;
using Xunit;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class EventIdsTests
{
    private static readonly FieldInfo[] Ids = typeof(EventIds).GetFields(BindingFlags.Public | BindingFlags.Static);

    [Fact]
    public void EventIds_AreUnique() => Assert.Distinct(Ids.Select(id => (int)id.GetValue(null)!));

    [Fact]
    public void LogMethods_BearTheNameOfTheirId()
    {
        Dictionary<int, string> names = Ids.ToDictionary(id => (int)id.GetValue(null)!, id => id.Name);
        MethodInfo[] methods = [.. typeof(Log).GetMethods(BindingFlags.Public | BindingFlags.Static)
            .Where(method => method.GetCustomAttribute<LoggerMessageAttribute>() is not null)];

        Assert.NotEmpty(methods);
        Assert.All(methods, method => Assert.Equal(names[method.GetCustomAttribute<LoggerMessageAttribute>()!.EventId], method.Name));
        Assert.Distinct(methods.Select(method => method.Name));
    }
}
