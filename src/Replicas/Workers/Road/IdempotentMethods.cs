using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>The methods whose requests may be done twice: RFC 9110, section 9.2.2.</summary>
internal static class IdempotentMethods
{
    public static bool Contain(string method) =>
        HttpMethods.IsGet(method) || HttpMethods.IsHead(method) || HttpMethods.IsPut(method) || HttpMethods.IsDelete(method) ||
        HttpMethods.IsOptions(method) || HttpMethods.IsTrace(method);
}
