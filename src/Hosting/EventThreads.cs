using System.Net.Sockets;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Hosting;

/// <summary>
/// Whether what comes over a socket is handled on the thread that learns of it, and not in the thread pool: that saves each request several changes of threads, and is only for code
/// that never blocks. The server's own is such code. A handler that somebody compiled in may block, and what it does with sockets of its own must not go on here; with one, all stays in the pool.
/// </summary>
internal static class EventThreads
{
    /// <summary>The runtime has no other switch for it. It is for the whole process, and read once.</summary>
    private const string Variable = "DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS";

    /// <summary>Decides for this process. To be called before it listens or connects. An operator who has set the variable has decided already.</summary>
    /// <returns>Whether requests are handled so.</returns>
    public static bool Decide(DeploymentRegistry registry)
    {
        if (Environment.GetEnvironmentVariable(Variable) is { } decided)
        {
            return decided == "1";
        }

        if (!registry.IsOnlyBuiltIn())
        {
            return false;
        }

        Environment.SetEnvironmentVariable(Variable, "1");
        using (Socket first = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified))
        {
            // Nothing will come: to begin with it makes the runtime start its threads.
            _ = first.ReceiveAsync(new byte[1]);
        }

        // Workers have the server's environment, and a decision of their own to make.
        Environment.SetEnvironmentVariable(Variable, null);
        return true;
    }
}
