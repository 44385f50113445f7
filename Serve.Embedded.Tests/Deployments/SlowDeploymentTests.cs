using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Deployments;

public sealed class SlowDeploymentTests
{
    [Theory]
    [InlineData("""{"delay_s":0}""", "Hello!")]
    [InlineData("""{"delay_s":0,"message":"Bye!"}""", "Bye!")]
    public async Task Reconfigure_NotEverythingIsWritten_TheRestHasItsDefault(string userConfig, string message)
    {
        SlowDeployment slow = new(new ManualTimeProvider());
        await slow.ReconfigureAsync(JsonDocument.Parse(userConfig).RootElement, TestContext.Current.CancellationToken);

        Assert.Equal(message, slow.Handle(new DefaultHttpContext().Request, TestContext.Current.CancellationToken));
    }
}
