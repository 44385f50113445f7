using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Admin;

/// <summary>Who may ask: under a name of ours, with the token where one is set, and, to change something, not from a web page of another origin.</summary>
/// <param name="hosts">Our names; <see langword="null"/> = whoever lets requests in looks at them.</param>
/// <param name="token">What a client must show; <see langword="null"/> = nothing.</param>
internal sealed class AdminGuard(AdminHosts? hosts, string? token)
{
    private const string Bearer = "Bearer ";

    private readonly byte[]? _token = token is null ? null : Encoding.UTF8.GetBytes(token);

    /// <param name="context">Who asks, and how.</param>
    /// <param name="isOpen">What is asked for tells nothing of the server, and needs no token.</param>
    /// <returns>Why not, with the status to say it with; <see langword="null"/> = it may.</returns>
    public (int StatusCode, string Message)? Refuses(HttpContext context, bool isOpen = false)
    {
        HttpRequest request = context.Request;
        if (hosts is not null && !hosts.IsOurs(request.Host.Host, context.Connection.LocalIpAddress))
        {
            return (StatusCodes.Status403Forbidden,
                $"The admin port does not answer under the name '{request.Host.Host}', so that no web page can reach it under a name of its own. Use localhost or its address, or list the name in admin_options.allowed_hosts.");
        }

        if (_token is not null && !isOpen && !Shows(request, _token))
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            return (StatusCodes.Status401Unauthorized,
                "The admin port wants a token (admin_options.token_file). Send it as 'Authorization: Bearer TOKEN'; the serve commands take --token-file.");
        }

        return Changes(request) && IsForeignPage(request)
            ? (StatusCodes.Status403Forbidden, "A web page of another origin may not change anything here.")
            : null;
    }

    /// <summary>In constant time, so that the clock does not tell how much of a guess is right.</summary>
    private static bool Shows(HttpRequest request, byte[] token) =>
        request.Headers.Authorization is [string shown] && shown.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase) &&
        CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(shown[Bearer.Length..].Trim()), token);

    private static bool Changes(HttpRequest request) => !HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method) && !HttpMethods.IsOptions(request.Method);

    /// <summary>Browsers say where a page is from; programs say nothing.</summary>
    private static bool IsForeignPage(HttpRequest request)
    {
        if (request.Headers["Sec-Fetch-Site"] is [string site] && site is not ("same-origin" or "none"))
        {
            return true;
        }

        return request.Headers.Origin is [string origin] && !origin.Equals($"{request.Scheme}://{request.Host}", StringComparison.OrdinalIgnoreCase);
    }
}
