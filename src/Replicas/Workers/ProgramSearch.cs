using System.Text;
using Serve.Embedded.Config;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Finds a worker's program as exec would, and says what is wrong where exec would give one number for many causes.</summary>
internal static class ProgramSearch
{
    /// <summary>E2BIG.</summary>
    public const int TooLong = 7;

    private const string UsualPath = "/usr/local/bin:/usr/bin:/bin";

    /// <exception cref="WorkerStartException">There is no such program, it may not be executed, or the working directory is not one.</exception>
    public static string Find(WorkerStartInfo info)
    {
        CheckDirectory(info.WorkingDirectory);
        CheckStrings(info);
        string program = info.Command[0];
        return program.Contains('/') ? ByPath(program, info.WorkingDirectory) : InPath(program, info);
    }

    /// <summary>What went wrong when exec refused a file that <see cref="Find"/> had found.</summary>
    public static WorkerStartException Refused(string path, WorkerStartInfo info, int error)
    {
        const int NoEntry = 2;
        const int NotExecutable = 8;
        const int NoAccess = 13;
        const int Busy = 26;

        CheckDirectory(info.WorkingDirectory);
        return new(error switch
        {
            NoEntry when Interpreter(path) is { } interpreter => $"The program '{path}' cannot be started: its first line names the interpreter '{interpreter}', which is not there. Install it or mend the line",
            NoEntry => $"The program '{path}' cannot be started: it is gone, or the loader that it asks for is not on this machine (a program built for another C library?)",
            TooLong => $"The program '{path}' cannot be started: its arguments and its environment are longer than the system takes: {Lengths(info)}. Pass large values in a file, or leave the server's own variables out (runtime_env.clear_env)",
            NotExecutable => $"The program '{path}' cannot be started: it is no program for this machine. A script needs a first line such as #!/usr/bin/env python3, or its interpreter as the first word of the command; a binary must be built for this processor",
            NoAccess => $"The program '{path}' may not be executed by this user: its interpreter or a folder on the way forbids it, or it is on a file system mounted with noexec",
            Busy => $"The program '{path}' cannot be started: it is open for writing. Wait until it has been copied",
            _ when Shortage.Of(error) is { } shortage => $"The program '{path}' cannot be started: {shortage}",
            _ => $"The program '{path}' cannot be started: {System.Runtime.InteropServices.Marshal.GetPInvokeErrorMessage(error)}",
        });
    }

    /// <summary>How long they are, and which is to be made shorter.</summary>
    private static string Lengths(WorkerStartInfo info)
    {
        (string Name, int Bytes)[] all =
        [
            .. info.Command.Select(static (argument, number) => ($"argument {number} of the command", Encoding.UTF8.GetByteCount(argument))),
            .. info.Environment.Select(static variable => ($"the variable {variable.Key}", WorkerStrings.BytesOf(variable.Key, variable.Value))),
        ];
        (string longest, int most) = all.MaxBy(static one => one.Bytes);
        return $"{all.Sum(static one => one.Bytes + 1L)} bytes together, {most} of them in {longest}. Linux takes {WorkerStrings.MostBytes} of each, and of all a quarter of the limit of the stack (ulimit -s; most often 2 MiB)";
    }

    private static void CheckDirectory(string directory)
    {
        if (Directory.Exists(directory))
        {
            if (!NativeProcess.MayExecute(directory))
            {
                throw new WorkerStartException($"The working directory '{directory}' may not be entered by this user. Give it the permission to search it (chmod +x)");
            }

            return;
        }

        throw new WorkerStartException(File.Exists(directory)
            ? $"The working directory '{directory}' is a file, not a folder. Set runtime_env.working_dir to a folder"
            : $"The working directory '{directory}' does not exist, or a folder on the way to it may not be searched by this user. Create it, or mend runtime_env.working_dir");
    }

    private static void CheckStrings(WorkerStartInfo info)
    {
        if (info.Command.Count == 0 || info.Command[0].Length == 0)
        {
            throw new WorkerStartException("The command names no program. Set command to a list such as [\"python3\", \"model.py\"]");
        }

        foreach (string argument in info.Command)
        {
            if (argument.Contains('\0'))
            {
                throw new WorkerStartException($"The command has an argument with a character of number 0, where it would be cut: '{argument.Replace('\0', '?')}'. Remove it");
            }
        }

        foreach ((string name, string value) in info.Environment)
        {
            if (name.Length == 0 || name.Contains('=') || name.Contains('\0') || value.Contains('\0'))
            {
                throw new WorkerStartException($"The environment variable '{name.Replace('\0', '?')}' cannot be set: a name must not be empty or contain '=', and neither name nor value may have a character of number 0");
            }
        }
    }

    private static string ByPath(string program, string workingDirectory)
    {
        string path = Path.Combine(workingDirectory, program);
        return Fault(path) is { } fault ? throw new WorkerStartException($"The program '{program}' cannot be started: {fault}") : path;
    }

    private static string InPath(string program, WorkerStartInfo info)
    {
        bool set = info.Environment.TryGetValue("PATH", out string? path);
        string folders = set && path!.Length > 0 ? path : UsualPath;
        string? fault = null;
        foreach (string folder in folders.Split(':'))
        {
            string candidate = Path.Combine(info.WorkingDirectory, folder, program);
            if (File.Exists(candidate))
            {
                fault = Fault(candidate);
                if (fault is null)
                {
                    return candidate;
                }
            }
        }

        throw new WorkerStartException(fault is null
            ? $"The program '{program}' is not in any folder of the worker's PATH ({folders}). Install it, write its path, or set PATH in runtime_env.env_vars"
            : $"The program '{program}' cannot be started: {fault}");
    }

    private static string? Fault(string path)
    {
        if (Directory.Exists(path))
        {
            return $"'{path}' is a folder";
        }

        if (!File.Exists(path))
        {
            return $"there is no file '{path}' that this user can see";
        }

        return NativeProcess.MayExecute(path) ? null : $"'{path}' may not be executed by this user. Make it executable (chmod +x), or put its interpreter before it in the command";
    }

    private static string? Interpreter(string path)
    {
        try
        {
            using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            Span<byte> head = stackalloc byte[256];
            string text = Encoding.UTF8.GetString(head[..file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false)]);
            return text.StartsWith("#!", StringComparison.Ordinal) ? text[2..].Split('\n')[0].Trim() : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
