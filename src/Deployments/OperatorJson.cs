using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Serve.Embedded.Config;

namespace Serve.Embedded.Deployments;

/// <summary>Reads what an operator wrote as the type that a handler takes. What is wrong is said in the words of the file, and not in those of the code.</summary>
internal static class OperatorJson
{
    /// <param name="value">What was written.</param>
    /// <param name="type">How it is read.</param>
    /// <param name="key">Which key of the configuration holds it.</param>
    /// <exception cref="JsonException">It does not fit.</exception>
    public static T Read<T>(JsonElement value, JsonTypeInfo<T> type, string key)
        where T : notnull
    {
        try
        {
            return value.Deserialize(type) ?? throw new JsonException($"{key} is null. Leave it out, or write a value.");
        }
        catch (JsonException exception) when (Explain(value, type, key, exception) is { } explained)
        {
            throw new JsonException(explained, exception);
        }
    }

    private static string? Explain(JsonElement value, JsonTypeInfo type, string key, JsonException exception)
    {
        bool refusesOthers = (type.UnmappedMemberHandling ?? type.Options.UnmappedMemberHandling) == JsonUnmappedMemberHandling.Disallow;
        if (refusesOthers && type.Kind == JsonTypeInfoKind.Object && value.ValueKind == JsonValueKind.Object)
        {
            string[] known = [.. type.Properties.Select(p => p.Name)];
            foreach (JsonProperty written in value.EnumerateObject())
            {
                if (!known.Contains(written.Name, type.Options.PropertyNameCaseInsensitive ? StringComparer.OrdinalIgnoreCase : StringComparer.Ordinal))
                {
                    string meant = ClosestName.Find(written.Name, known) is { } closest ? $"; did you mean '{closest}'?" : $"; the keys are {string.Join(", ", known)}";
                    return $"unknown key {written.Name} in {key}{meant}";
                }
            }
        }

        return exception.Path is ['$', .. string path] && path.Length > 0 ? $"{key}{path}: {exception.Message}" : null;
    }
}
