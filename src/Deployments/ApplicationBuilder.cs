using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;

namespace Serve.Embedded;

/// <summary>Collects the deployments of one application for <see cref="DeploymentRegistry.AddApplication"/>.</summary>
public sealed class ApplicationBuilder
{
    private readonly string _importPath;
    private readonly IReadOnlyDictionary<string, IAutoscalingPolicy> _policies;
    private readonly List<DeploymentDefinition> _deployments = [];

    internal ApplicationBuilder(string importPath, IReadOnlyDictionary<string, IAutoscalingPolicy> policies)
    {
        _importPath = importPath;
        _policies = policies;
    }

    /// <summary>Adds a deployment whose handler does not block.</summary>
    /// <param name="name">Its name, unique in the application.</param>
    /// <param name="factory">Makes a replica's handler. Called once per replica.</param>
    /// <param name="options">Its limits; a configuration file overrides them. <see langword="null"/> = the defaults.</param>
    /// <param name="responseJson">How to write <typeparamref name="TResponse"/> as JSON; needed only where it is sent over HTTP as JSON.</param>
    /// <exception cref="ArgumentException">The name is taken or empty, the options contradict each other, or JSON is needed and <paramref name="responseJson"/> is <see langword="null"/>.</exception>
    public ApplicationBuilder Add<TRequest, TResponse>(
        string name,
        Func<DeploymentContext, IDeployment<TRequest, TResponse>> factory,
        DeploymentOptions? options = null,
        JsonTypeInfo<TResponse>? responseJson = null)
    {
        HttpEntry? http = typeof(TRequest) == typeof(HttpRequest) ? new PlainEntry<TResponse>(new(responseJson, name)) : null;
        return Add(name, factory, options, http, blocks: false, typeof(TRequest), typeof(TResponse));
    }

    /// <summary>Adds a deployment whose handler blocks its thread.</summary>
    /// <inheritdoc cref="Add{TRequest, TResponse}"/>
    public ApplicationBuilder AddBlocking<TRequest, TResponse>(
        string name,
        Func<DeploymentContext, IBlockingDeployment<TRequest, TResponse>> factory,
        DeploymentOptions? options = null,
        JsonTypeInfo<TResponse>? responseJson = null)
    {
        HttpEntry? http = typeof(TRequest) == typeof(HttpRequest) ? new BlockingEntry<TResponse>(new(responseJson, name)) : null;
        return Add(name, factory, options, http, blocks: true, typeof(TRequest), typeof(TResponse));
    }

    /// <summary>Adds a deployment that writes its own HTTP responses.</summary>
    /// <inheritdoc cref="Add{TRequest, TResponse}"/>
    public ApplicationBuilder AddHttp(string name, Func<DeploymentContext, IHttpDeployment> factory, DeploymentOptions? options = null) =>
        Add(name, factory, options, new ContextEntry(), blocks: false);

    internal ApplicationDefinition Build()
    {
        if (_deployments.Count == 0)
        {
            throw new ArgumentException($"Application '{_importPath}' has no deployment.");
        }

        if (_deployments[0].Http is null)
        {
            throw new ArgumentException(
                $"Deployment '{_deployments[0].Name}' is the first of application '{_importPath}' and so answers HTTP: it must take an HttpRequest or be an IHttpDeployment.");
        }

        return new(_importPath, _deployments);
    }

    private ApplicationBuilder Add(
        string name,
        Func<DeploymentContext, object> factory,
        DeploymentOptions? options,
        HttpEntry? http,
        bool blocks,
        Type? request = null,
        Type? response = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(factory);
        if (_deployments.Any(d => d.Name == name))
        {
            throw new ArgumentException($"Application '{_importPath}' has two deployments named '{name}'.", nameof(name));
        }

        if (options?.Autoscaling is not null && AutoscalingProblem(options, options.Autoscaling) is string wrong)
        {
            throw new ArgumentException($"Deployment '{name}' of application '{_importPath}': {wrong}", nameof(options));
        }

        _deployments.Add(new(name, factory, options ?? new(), http, blocks, request, response));
        return this;
    }

    private string? AutoscalingProblem(DeploymentOptions options, AutoscalingOptions autoscaling)
    {
        int max = autoscaling.MaxReplicas ?? AutoscalingRules.MostAutoReplicas;
        return options.NumReplicas != 1 ? "NumReplicas says how many, and Autoscaling lets the load decide. Leave one of them out."
            : autoscaling.MinReplicas < 0 || max < 1 || autoscaling.MinReplicas > max ? $"MinReplicas, {autoscaling.MinReplicas}, must be from 0 to MaxReplicas, {max}, and that 1 or more."
            : autoscaling.InitialReplicas is int initial && (initial < autoscaling.MinReplicas || initial > max) ? $"InitialReplicas, {initial}, must be from MinReplicas to MaxReplicas."
            : !IsAboveZero(autoscaling.TargetOngoingRequests) ? "TargetOngoingRequests must be above 0."
            : !IsAboveZero(autoscaling.UpscalingFactor) || !IsAboveZero(autoscaling.DownscalingFactor) ? "UpscalingFactor and DownscalingFactor must be above 0."
            : autoscaling.LookBackPeriod <= TimeSpan.Zero ? "LookBackPeriod must be above 0."
            : autoscaling.UpscaleDelay < TimeSpan.Zero || autoscaling.DownscaleDelay < TimeSpan.Zero || autoscaling.DownscaleToZeroDelay < TimeSpan.Zero ? "A delay must not be below 0."
            : autoscaling.Policy is string policy && !_policies.ContainsKey(policy) ? $"No autoscaling policy '{policy}' is registered. Register it before the application."
            : null;
    }

    private static bool IsAboveZero(double value) => double.IsFinite(value) && value > 0;
}
