using Serve.Embedded.Config;
using Serve.Embedded.Hosting;

namespace Serve.Embedded;

/// <summary>
/// What an application embeds: its deployments, a configuration file that overrides what their code says, and how much of the server's own it wants beside them. Code registers, the file
/// overrides.
/// </summary>
public sealed class ServeOptions
{
    private const string OwnModule = "code";

    private readonly List<OwnApplication> _own = [];
    private OwnCalls? _calls;

    /// <summary>
    /// A file in the form of <c>config.toml</c>. Its <c>[[applications]]</c> of the same names override what code says of them, key by key; others are added, from <see cref="Registry"/>, from
    /// commands or from Python. A relative path is seen from the content root of the host, where there is one. <see langword="null"/> (default) = there is no file.
    /// </summary>
    public string? ConfigFile { get; set; }

    /// <summary>SIGHUP reads <see cref="ConfigFile"/> again. Default <see langword="false"/>: signals are the host's. <see cref="ServeHost.ReloadAsync"/> does it at any time.</summary>
    public bool ReloadOnHangup { get; set; }

    /// <summary>Reads <see cref="ConfigFile"/> again a quarter of a second after it was written. Default <see langword="false"/>. A file with errors changes nothing.</summary>
    public bool ReloadOnChange { get; set; }

    /// <summary>Listens on <c>http_options</c> host and port too, as the executable does. Default <see langword="false"/>: requests come through the host's endpoints (<c>MapServe</c>).</summary>
    public bool ListenOnHttpPort { get; set; }

    /// <summary>Listens on <c>admin_options</c> host and port too, so that <c>serve status</c> and its like can talk to it. Default <see langword="false"/>; see <c>MapServeAdmin</c>.</summary>
    public bool ListenOnAdminPort { get; set; }

    /// <summary>Writes a line for each request, category <c>Serve.Proxy.Access</c>, unless <c>enable_access_log</c> is off in the file. Default <see langword="false"/>: the host has its own.</summary>
    public bool AccessLog { get; set; }

    /// <summary>
    /// The start completes when every application runs, and fails if one does not come up. Default <see langword="false"/>: the start does not wait for replicas, and requests that come before them
    /// wait in their queues.
    /// </summary>
    public bool WaitUntilRunning { get; set; }

    /// <summary>What the configuration file may name by <c>import_path</c>, and autoscaling policies.</summary>
    public DeploymentRegistry Registry { get; internal set; } = new();

    internal IReadOnlyList<OwnApplication> Own => _own;

    internal OwnCalls Calls => _calls ??= new(Registry, _own);

    /// <summary>For tests: in place of a file.</summary>
    internal ServeConfig? Config { get; set; }

    /// <summary>For tests: in place of the container's.</summary>
    internal TimeProvider? Time { get; set; }

    /// <summary>Adds an application that is always served; no file removes it. Its first deployment is the ingress: the one that answers HTTP.</summary>
    /// <param name="name">Its name: ASCII letters, digits, '_', '-' and '.', at most 128.</param>
    /// <param name="routePrefix">Where it answers, below the endpoint of <c>MapServe</c>: <c>/</c>, <c>/a</c> or <c>/a/b</c>; <see langword="null"/> = not over HTTP, but for an endpoint that names it; then its first deployment need not answer HTTP.</param>
    /// <param name="build">Adds the deployments.</param>
    /// <exception cref="ArgumentException">A name or prefix is taken or malformed, there is no deployment, two have the same name, the first cannot answer HTTP, or deployments that the container makes ask for each other in a circle.</exception>
    public ServeOptions AddApplication(string name, string? routePrefix, Action<ApplicationBuilder> build)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (TextRules.Name(name) is { } wrongName)
        {
            throw new ArgumentException($"'{name}' cannot be the name of an application: {wrongName}.", nameof(name));
        }

        if (routePrefix is not null && TextRules.RoutePrefix(routePrefix) is { } wrongPrefix)
        {
            throw new ArgumentException($"'{routePrefix}' cannot be the route prefix of application '{name}': {wrongPrefix}.", nameof(routePrefix));
        }

        if (routePrefix is not null && _own.FirstOrDefault(o => o.RoutePrefix == routePrefix) is { } other)
        {
            throw new ArgumentException($"Applications '{other.Name}' and '{name}' have the same route prefix, '{routePrefix}'.", nameof(routePrefix));
        }

        string importPath = $"{OwnModule}:{name}";
        Registry.Register(importPath, build, answersHttp: routePrefix is not null);
        OwnApplication own = new(name, importPath, routePrefix) { AnswersHttp = Registry.Applications[importPath].Ingress.Http is not null };
        _own.Add(own);

        // Those of this application alone are refused by the registry.
        return Calls.CircleOf(own) is { } circle ? throw new ArgumentException(OwnCalls.Message(circle), nameof(build)) : this;
    }

    /// <summary>Adds an application that answers at <c>/</c>, below the endpoint of <c>MapServe</c>.</summary>
    /// <inheritdoc cref="AddApplication(string, string?, Action{ApplicationBuilder})"/>
    public ServeOptions AddApplication(string name, Action<ApplicationBuilder> build) => AddApplication(name, "/", build);
}
