using System.Collections;
using System.Globalization;
using Serve.Embedded.Config;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What a worker finds around it: its arguments, with the places to listen on put in, and its environment.</summary>
internal static class WorkerSurroundings
{
    public static WorkerStartInfo StartInfo(WorkerSettings settings, DeploymentContext context, WorkerAddress address, WorkerHost host, string? userConfig)
    {
        Dictionary<string, string> variables = Variables(settings, value => Fill(value, address, host));
        variables["SERVE_APPLICATION"] = context.Application;
        variables["SERVE_DEPLOYMENT"] = context.Deployment;
        variables["SERVE_REPLICA_ID"] = context.ReplicaId;
        variables["SERVE_REPLICA_RANK"] = context.Rank.ToString(CultureInfo.InvariantCulture);
        variables["SERVE_MAX_ONGOING_REQUESTS"] = context.MaxOngoingRequests.ToString(CultureInfo.InvariantCulture);
        Set(variables, WorkerStrings.UserConfigVariable, userConfig);
        Set(variables, WorkerStrings.ArgsVariable, context.Args?.GetRawText());
        Set(variables, "SERVE_SOCKET", address.Socket);
        if (address.Port is { } port)
        {
            variables["PORT"] = port.ToString(CultureInfo.InvariantCulture);
        }

        if (settings.IsPython)
        {
            variables["SERVE_CONTROL_TOKEN"] = host.ControlToken;
        }

        return new()
        {
            Command = [.. settings.Command.Select(a => Fill(a, address, host))],
            WorkingDirectory = settings.WorkingDirectory,
            Environment = variables,
            Limits = new()
            {
                Nice = settings.Nice,
                CpuAffinity = settings.CpuAffinity.Count > 0 ? settings.CpuAffinity : null,
                OpenFiles = settings.MaxOpenFiles,
                Rlimits = settings.Rlimits ?? new(),
                MemoryMaxMb = settings.MemoryMaxMb,
                CpuMax = settings.CpuMax,
            },
        };
    }

    /// <summary>For a process that only says what there is, and listens nowhere.</summary>
    public static WorkerStartInfo OfImport(WorkerSettings settings) =>
        new() { Command = settings.Command, WorkingDirectory = settings.WorkingDirectory, Environment = Variables(settings, static value => value) };

    /// <summary>What it has of the server's own environment, and what the operator wrote for it.</summary>
    private static Dictionary<string, string> Variables(WorkerSettings settings, Func<string, string> fill)
    {
        Dictionary<string, string> variables = new(StringComparer.Ordinal);
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
        {
            if (!settings.ClearsEnvironment || (string)variable.Key == "PATH")
            {
                variables[(string)variable.Key] = (string)variable.Value!;
            }
        }

        foreach (EnvironmentVariable variable in settings.Variables)
        {
            variables[variable.Name] = fill(variable.Value);
        }

        return variables;
    }

    private static void Set(Dictionary<string, string> variables, string name, string? value)
    {
        variables.Remove(name);
        if (value is not null)
        {
            variables[name] = value;
        }
    }

    private static string Fill(string text, WorkerAddress address, WorkerHost host) => text
        .Replace(WorkerAddress.SocketMark, address.Socket, StringComparison.Ordinal)
        .Replace(WorkerAddress.PortMark, address.Port?.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
        .Replace(PythonHost.FileMark, host.PythonHost.Path, StringComparison.Ordinal);
}
