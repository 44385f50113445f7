using System.Text.RegularExpressions;

namespace Serve.Embedded.Tests.Guards;

/// <summary>The executable needs no OpenSSL: where it is missing, the framework ends the process at the first hash. (What a WebSocket over HTTP/2 needs, only a host has.)</summary>
public sealed partial class CryptographyTests
{
    [Fact]
    public void Product_HashesAndDrawsNothingByOpenSsl() =>
        Assert.Equal(["src/Replicas/Workers/Road/UpgradeOffer.cs: SHA1"], Repository.Sources("src").SelectMany(f => OfOpenSsl().Matches(Repository.Read(f)).Select(m => $"{f}: {m.Value}")));

    [GeneratedRegex(@"\b(SHA\d+|MD5|HMAC\w*|RandomNumberGenerator|IncrementalHash|Aes|RSA|ECDsa|Rfc2898DeriveBytes|SslStream|X509\w+)\b")]
    private static partial Regex OfOpenSsl();
}
