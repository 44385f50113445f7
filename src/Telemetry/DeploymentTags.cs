namespace Serve.Embedded.Telemetry;

/// <summary>What every measurement of one deployment is tagged with, made once.</summary>
internal sealed class DeploymentTags(string application, string deployment)
{
    public KeyValuePair<string, object?>[] All { get; } = [new(InstrumentNames.ApplicationTag, application), new(InstrumentNames.DeploymentTag, deployment)];

    public KeyValuePair<string, object?>[] With(string tag, string value) => [.. All, new(tag, value)];
}
