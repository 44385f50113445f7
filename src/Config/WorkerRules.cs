namespace Serve.Embedded.Config;

/// <summary>What must hold between the keys that say how an application's replicas are made: compiled in, or processes.</summary>
internal static class WorkerRules
{
    private const string PythonScheme = "python:";

    /// <summary>With its braces; what is longer is no slip of the two.</summary>
    private const int LongestMark = 16;

    private static readonly string[] Marks = ["socket", "port"];

    private static readonly FreeFormType UserConfigType = new();
    private static readonly FreeFormType ArgsType = new(tableOnly: true);

    public static void Check(ConfigNode application, ConfigErrors errors)
    {
        List<ConfigNode> deployments = application.Find("deployments")?.Items ?? [];
        bool hasImportPath = application.Members.ContainsKey("import_path");
        ConfigNode? command = deployments.Select(d => d.Find("command")).FirstOrDefault(c => c is not null);
        if (command is null && !hasImportPath)
        {
            errors.Add(application.Place, "[[applications]] needs a key import_path, such as builtin:slow, or a deployment with a command");
        }
        else if (command is not null && hasImportPath)
        {
            errors.Add(command.Place, "command is for an application without an import_path: take one of them out");
        }
        else if (command is not null && deployments.Count > 1)
        {
            errors.Add(
                deployments.First(d => d.Find("command") != command).Place,
                "an application whose deployment has a command has this one only, since nothing could call another: give each an [[applications]] of its own");
        }

        if (command is null && hasImportPath)
        {
            CheckCompiledIn(application, deployments, errors);
        }

        foreach (ConfigNode argument in deployments.SelectMany(Arguments))
        {
            CheckMarks(argument, errors);
        }

        if (command is not null || PythonName(application.Find("import_path")?.Text) is not null)
        {
            CheckLengths(application, deployments, errors);
        }
    }

    /// <summary>What an import path names of a file of Python; <see langword="null"/> = it names none.</summary>
    public static string? PythonName(string? importPath) => importPath?.StartsWith(PythonScheme, StringComparison.Ordinal) == true ? importPath[PythonScheme.Length..] : null;

    /// <summary>Whether its replicas are processes.</summary>
    public static bool HasWorkers(ApplicationConfig application) => PythonName(application.ImportPath) is not null || application.Deployments.Any(d => d.Worker.Command.Count > 0);

    /// <summary>What looks like a mark and is none stays as it is written: a program may want it so.</summary>
    private static void CheckMarks(ConfigNode argument, ConfigErrors errors)
    {
        string text = argument.Text;
        for (int close = text.IndexOf('}'); close >= 0; close = text.IndexOf('}', close + 1))
        {
            int open = text.LastIndexOf('{', close, Math.Min(LongestMark, close + 1));
            bool isOfAShell = open > 0 && text[open - 1] == '$';
            if (open >= 0 && !isOfAShell && text[(open + 1)..close] is var word && !Marks.Contains(word) && ClosestName.Find(word, Marks) is { } meant)
            {
                errors.Warn(argument.Place, $"{{{word}}} is given to the program as it is; did you mean {{{meant}}}?");
            }
        }
    }

    private static IEnumerable<ConfigNode> Arguments(ConfigNode deployment) => (deployment.Find("command")?.Items ?? []).Where(i => i.Kind == ConfigNodeKind.String);

    /// <summary>What no process can be started with.</summary>
    private static void CheckLengths(ConfigNode application, List<ConfigNode> deployments, ConfigErrors errors)
    {
        string whole = $"application '{application.Find("name")?.Text ?? new ApplicationConfig().Name}'";
        CheckHanded(application, "args", ArgsType, whole, WorkerStrings.ArgsVariable, errors);
        CheckVariables(application, whole, errors);
        foreach (ConfigNode deployment in deployments)
        {
            string whose = $"deployment '{deployment.Find("name")?.Text}' of {whole}";
            CheckHanded(deployment, "user_config", UserConfigType, whose, WorkerStrings.UserConfigVariable, errors);
            CheckVariables(deployment, whose, errors);
            foreach (ConfigNode argument in Arguments(deployment))
            {
                AddIf(argument, WorkerStrings.Argument(whose, argument.Text), errors);
            }
        }
    }

    /// <summary>What is no JSON is an error already.</summary>
    private static void CheckHanded(ConfigNode table, string key, FreeFormType type, string whose, string variable, ConfigErrors errors)
    {
        if (table.Find(key) is { } node && type.TryRead(key, node, new ConfigErrors(key), out string? json))
        {
            AddIf(node, WorkerStrings.Handed(key, whose, variable, json!), errors);
        }
    }

    private static void CheckVariables(ConfigNode table, string whose, ConfigErrors errors)
    {
        foreach ((string name, ConfigMember member) in table.Find("runtime_env")?.Find("env_vars")?.Members ?? [])
        {
            AddIf(member.Value, WorkerStrings.Variable(name, whose, member.Value.Text), errors);
        }
    }

    private static void AddIf(ConfigNode node, string? wrong, ConfigErrors errors)
    {
        if (wrong is not null)
        {
            errors.Add(node.Place, wrong);
        }
    }

    private static void CheckCompiledIn(ConfigNode application, List<ConfigNode> deployments, ConfigErrors errors)
    {
        if (application.Find("import_path") is { Kind: ConfigNodeKind.String } path && PythonName(path.Text) is { } name)
        {
            CheckName(path.Place, name, errors);
            CheckPython(deployments, errors);
            return;
        }

        if (application.Find("import_path") is { Kind: ConfigNodeKind.String } wrong && TextRules.ImportPath(wrong.Text) is not null)
        {
            // It is an error already, and nobody knows what it was to name.
            return;
        }

        foreach (ConfigNode table in (IEnumerable<ConfigNode>)[application, .. deployments])
        {
            foreach ((string key, ConfigMember member) in table.Members)
            {
                bool isForWorkers = table == application ? key is "runtime_env" or "python" : DeploymentKeys.IsForWorkers(key);
                if (isForWorkers && member.Value.Kind != ConfigNodeKind.Null)
                {
                    errors.Add(member.KeyPlace, $"{key} is for workers, and import_path names code that is compiled in: take it out");
                }
            }
        }
    }

    /// <summary>What can be seen without importing anything.</summary>
    private static void CheckName(TextPlace place, string name, ConfigErrors errors)
    {
        if (name.EndsWith(".py", StringComparison.Ordinal))
        {
            errors.Add(place, $"import_path names the file {name} and no class in it: write python:{name[..^3]}.CLASS");
        }
        else if (!name.Contains('.', StringComparison.Ordinal))
        {
            errors.Add(place, $"import_path names no class: write python:{name}.CLASS for one in {name}.py");
        }
    }

    /// <summary>The host of Python answers these questions itself.</summary>
    private static void CheckPython(List<ConfigNode> deployments, ConfigErrors errors)
    {
        foreach ((string name, ConfigMember member) in deployments.SelectMany(d => d.Members))
        {
            if (name is "health_check_path" or "reconfigure_path" or "runtime_env")
            {
                errors.Add(member.KeyPlace, name == "runtime_env"
                    ? "runtime_env of a python: application is written in [[applications]], since its file is imported in it"
                    : $"{name} is for a deployment with a command; a class of Python has check_health and reconfigure");
            }
        }
    }
}
