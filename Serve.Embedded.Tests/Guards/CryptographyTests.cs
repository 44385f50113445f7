using System.Text.RegularExpressions;

namespace Serve.Embedded.Tests.Guards;

/// <summary>The executable needs no OpenSSL: where it is missing, the framework ends the process at the first hash.</summary>
public sealed partial class CryptographyTests
{
    [Fact]
    public void Product_HashesAndDrawsNothingByOpenSsl() =>
        Assert.Empty(Repository.Sources("src").SelectMany(f => OfOpenSsl().Matches(Repository.Read(f)).Select(m => $"{f}: {m.Value}")));

    [GeneratedRegex(@"\b(SHA\d+|MD5|HMAC\w*|RandomNumberGenerator|IncrementalHash|Aes|RSA|ECDsa|Rfc2898DeriveBytes|SslStream|X509\w+)\b")]
    private static partial Regex OfOpenSsl();
}
