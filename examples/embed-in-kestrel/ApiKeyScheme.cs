using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.Extensions.Options;

namespace EmbedInKestrel;

public sealed class ApiKeyOptions : AuthenticationSchemeOptions
{
    public string Key { get; set; } = "";
}

/// <summary>Whoever shows the key in X-Api-Key is let in.</summary>
public sealed class ApiKeyScheme(IOptionsMonitor<ApiKeyOptions> options, ILoggerFactory logger, UrlEncoder encoder) : AuthenticationHandler<ApiKeyOptions>(options, logger, encoder)
{
    public const string Name = "ApiKey";

    protected override Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (Request.Headers["X-Api-Key"] is not [string shown])
        {
            return Task.FromResult(AuthenticateResult.NoResult());
        }

        bool isRight = CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(shown)), SHA256.HashData(Encoding.UTF8.GetBytes(Options.Key)));
        return Task.FromResult(isRight
            ? AuthenticateResult.Success(new(new(new ClaimsIdentity([new(ClaimTypes.Name, "shop")], Name)), Name))
            : AuthenticateResult.Fail("The key is not ours."));
    }
}
