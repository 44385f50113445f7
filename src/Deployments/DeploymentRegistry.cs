using Serve.Embedded.Config;
using Serve.Embedded.Deployments;

namespace Serve.Embedded;

/// <summary>
/// The applications that are compiled into this executable, by import path. A configuration file names one by its
/// <c>import_path</c>, for example <c>builtin:echo</c>.
/// </summary>
public sealed class DeploymentRegistry
{
    private readonly Dictionary<string, ApplicationDefinition> _applications = new(StringComparer.Ordinal);
    private readonly Dictionary<string, IAutoscalingPolicy> _policies = new(StringComparer.Ordinal);

    /// <summary>Registers an application. Its first deployment is the ingress: the one that answers HTTP.</summary>
    /// <param name="importPath">The name by which configuration refers to it: <c>module:name</c>.</param>
    /// <param name="build">Adds the deployments.</param>
    /// <exception cref="ArgumentException">The import path is taken or malformed, there is no deployment, two have the same name, the first cannot answer HTTP, or deployments that the container makes ask for each other in a circle.</exception>
    public DeploymentRegistry AddApplication(string importPath, Action<ApplicationBuilder> build) => Register(importPath, build, answersHttp: true);

    /// <param name="importPath">Its name for configurations.</param>
    /// <param name="build">Adds the deployments.</param>
    /// <param name="answersHttp">Its first deployment must be one that does.</param>
    internal DeploymentRegistry Register(string importPath, Action<ApplicationBuilder> build, bool answersHttp)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(importPath);
        ArgumentNullException.ThrowIfNull(build);
        int colon = importPath.IndexOf(':', StringComparison.Ordinal);
        if (colon <= 0 || colon == importPath.Length - 1 || importPath.IndexOf(':', colon + 1) >= 0)
        {
            throw new ArgumentException($"Import path '{importPath}' must have the form 'module:name', with exactly one colon.", nameof(importPath));
        }

        ApplicationBuilder builder = new(importPath, _policies);
        build(builder);
        if (!_applications.TryAdd(importPath, builder.Build(answersHttp)))
        {
            throw new ArgumentException($"Import path '{importPath}' is registered twice.", nameof(importPath));
        }

        return this;
    }

    /// <summary>Registers a policy that says how many replicas a deployment shall have; deployments name it in their autoscaling options, or in the configuration's <c>autoscaling_config</c>.</summary>
    /// <param name="name">Its name: ASCII letters, digits, '_', '-' and '.', at most 128.</param>
    /// <param name="policy">Asked for every deployment that names it.</param>
    /// <exception cref="ArgumentException">The name is taken or malformed.</exception>
    public DeploymentRegistry AddAutoscalingPolicy(string name, IAutoscalingPolicy policy)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(policy);
        if (TextRules.Name(name) is string wrong)
        {
            throw new ArgumentException($"'{name}' cannot be the name of an autoscaling policy: {wrong}.", nameof(name));
        }

        if (!_policies.TryAdd(name, policy))
        {
            throw new ArgumentException($"Autoscaling policy '{name}' is registered twice.", nameof(name));
        }

        return this;
    }

    internal IReadOnlyDictionary<string, IAutoscalingPolicy> AutoscalingPolicies => _policies;

    internal IReadOnlyDictionary<string, ApplicationDefinition> Applications => _applications;
}
