using Serve.Embedded.Deployments;

namespace Serve.Embedded;

/// <summary>The executable. Not public, so that a program which uses this assembly as a library has a <c>Program</c> of its own.</summary>
internal static class Program
{
    private static Task<int> Main(string[] args) => ServeCli.RunAsync(args, new DeploymentRegistry().AddBuiltIn());
}
