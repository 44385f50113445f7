using Serve.Embedded.Deployments;

namespace Serve.Embedded;

/// <summary>
/// The applications that are compiled into this executable, by import path. A configuration file names one by its
/// <c>import_path</c>, for example <c>builtin:echo</c>.
/// </summary>
public sealed class DeploymentRegistry
{
    private readonly Dictionary<string, ApplicationDefinition> _applications = new(StringComparer.Ordinal);

    /// <summary>Registers an application. Its first deployment is the ingress: the one that answers HTTP.</summary>
    /// <param name="importPath">The name by which configuration refers to it: <c>module:name</c>.</param>
    /// <param name="build">Adds the deployments.</param>
    /// <exception cref="ArgumentException">The import path is taken or malformed, there is no deployment, two have the same name, or the first cannot answer HTTP.</exception>
    public DeploymentRegistry AddApplication(string importPath, Action<ApplicationBuilder> build)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(importPath);
        ArgumentNullException.ThrowIfNull(build);
        int colon = importPath.IndexOf(':', StringComparison.Ordinal);
        if (colon <= 0 || colon == importPath.Length - 1 || importPath.IndexOf(':', colon + 1) >= 0)
        {
            throw new ArgumentException($"Import path '{importPath}' must have the form 'module:name', with exactly one colon.", nameof(importPath));
        }

        ApplicationBuilder builder = new(importPath);
        build(builder);
        if (!_applications.TryAdd(importPath, builder.Build()))
        {
            throw new ArgumentException($"Import path '{importPath}' is registered twice.", nameof(importPath));
        }

        return this;
    }

    internal IReadOnlyDictionary<string, ApplicationDefinition> Applications => _applications;
}
