using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Proxy;

namespace Serve.Embedded.Tests.Proxy;

public sealed class OwnAnswersTests
{
    [Theory]
    [InlineData("Reading the request body timed out due to data arriving too slowly. See MinRequestBodyDataRate.", SlowClient.BodyTooSlow)]
    [InlineData("A handler's own word.", "A handler's own word.")]
    public void OfFailure_OptionOfKestrel_IsNotNamed(string thrown, string told) =>
        Assert.Equal((408, told), OwnAnswers.OfFailure(NullLogger.Instance, new BadHttpRequestException(thrown, 408), wasSent: false));
}
