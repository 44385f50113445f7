using System.Text;
using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

/// <summary>What is too long to start a worker with is refused when it is read: at its place, and to the byte.</summary>
public sealed class WorkerStringsTests
{
    private const string Command = "[[applications]]\n<0>[[applications.deployments]]\nname = \"w\"\ncommand = [\"a\"<1>]\n<2>";
    private const string Python = "[[applications]]\nname = \"py\"\nimport_path = \"python:a.B\"\n<0>[[applications.deployments]]\nname = \"B\"\n<1>";

    /// <summary>A text with TEXT where it is filled up, the bytes of the string that are there without it, and what is said.</summary>
    public static TheoryData<string, int, string> Kinds => new()
    {
        { Fill(Command, "", "", "reconfigure_path = \"/r\"\nuser_config = { key = \"TEXT\" }"), "SERVE_USER_CONFIG={\"key\":\"\"}".Length, "config.toml:6:15: user_config of deployment 'w' of application 'default' is too long for its workers: they are given it in the variable SERVE_USER_CONFIG, 131072 bytes as JSON and with that name, and Linux takes 131071 of one variable. Put what is long into a file, and write the file's name in user_config" },
        { Fill(Python, "", "user_config = \"TEXT\""), "SERVE_USER_CONFIG=\"\"".Length, "config.toml:6:15: user_config of deployment 'B' of application 'py' is too long" },
        { Fill(Command, "args = { a = \"TEXT\", b = 1.0 }\n", "", ""), "SERVE_ARGS={\"a\":\"\",\"b\":1.0}".Length, "config.toml:2:8: args of application 'default' is too long for its workers: they are given it in the variable SERVE_ARGS, 131072 bytes" },
        { Fill(Python, "args = { a = \"TEXT\" }\n", ""), "SERVE_ARGS={\"a\":\"\"}".Length, "config.toml:4:8: args of application 'py' is too long" },
        { Fill(Command, "", "", "runtime_env = { env_vars = { BIG = \"TEXT\" } }"), "BIG=".Length, "config.toml:5:36: variable BIG of deployment 'w' of application 'default' is too long for its workers: with its name it has 131072 bytes, and Linux takes 131071 of one variable. Put what is long into a file, and write the file's name in env_vars" },
        { Fill(Command, "runtime_env = { env_vars = { BIG = \"TEXT\" } }\n", "", ""), "BIG=".Length, "config.toml:2:36: variable BIG of application 'default' is too long" },
        { Fill(Python, "runtime_env = { env_vars = { BIG = \"TEXT\" } }\n", ""), "BIG=".Length, "config.toml:4:36: variable BIG of application 'py' is too long" },
        { Fill(Command, "", ", \"TEXT\"", ""), 0, "config.toml:4:17: an argument in the command of deployment 'w' of application 'default' is too long for its workers: it has 131072 bytes, and Linux takes 131071 of one argument. Put what is long into a file, and write the file's name in command" },
        { Fill(Command, "", ", \"--socket={socket}TEXT{port}\"", ""), "--socket=".Length + 107 + "{port}".Length, "config.toml:4:17: an argument in the command of deployment 'w' of application 'default' is too long" },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Read_StringOfAWorkersStart_MayHaveTheLongestAndNoByteMore(string toml, int fixedBytes, string error)
    {
        ConfigResult longest = TestCatalog.Read(toml.Replace("TEXT", Bytes(131_071 - fixedBytes), StringComparison.Ordinal));
        ConfigResult longer = TestCatalog.Read(toml.Replace("TEXT", Bytes(131_072 - fixedBytes), StringComparison.Ordinal));

        Assert.Empty(TestCatalog.Lines(longest));
        Assert.StartsWith(error, Assert.Single(longer.Errors).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void ReadJson_UserConfigOfAWorker_IsRefusedAtItsPath()
    {
        ConfigResult longest = ReadJson(131_071);
        ConfigResult longer = ReadJson(131_072);

        Assert.Empty(TestCatalog.Lines(longest));
        Assert.StartsWith("body:1:76: $.applications[0].deployments[0].user_config: user_config of deployment 'w' of application 'default' is too long", Assert.Single(longer.Errors).ToString(), StringComparison.Ordinal);
    }

    /// <summary>No process is started with it.</summary>
    [Fact]
    public void Read_UserConfigOfCompiledInCode_MayBeLonger() => TestCatalog.ReadValid(
        $"[[applications]]\nimport_path = \"builtin:slow\"\n[[applications.deployments]]\nname = \"SlowDeployment\"\nuser_config = {{ message = \"{Bytes(1_000_000)}\" }}");

    /// <summary>What is wrong otherwise is told once.</summary>
    [Theory]
    [InlineData("user_config = [ nan ]", "user_config must not hold nan")]
    [InlineData("runtime_env = { env_vars = { A = 1 } }", "env_vars.A must be a text, not 1")]
    public void Read_WhatIsNoString_HasOneError(string key, string error) =>
        Assert.Contains(error, Assert.Single(TestCatalog.Read(Fill(Command, "", "", key)).Errors).Message, StringComparison.Ordinal);

    [Fact]
    public void Read_ArgumentOfMoreCharactersThanAnArgumentMayHave_HasOneError() =>
        Assert.Single(TestCatalog.Read(Fill(Command, "", $", \"{new string('x', 200_000)}\"", "")).Errors);

    private static ConfigResult ReadJson(int bytes)
    {
        const string Before = """{"applications":[{"deployments":[{"name":"w","command":["a"],"user_config":""";
        string json = $"{Before}\"{Bytes(bytes - "SERVE_USER_CONFIG=\"\"".Length)}\"}}]}}]}}";
        return ConfigReader.ReadJson(Encoding.UTF8.GetBytes(json), "body", TestCatalog.Builtin);
    }

    /// <summary>Few characters, so that it is bytes that are counted.</summary>
    private static string Bytes(int count) => new string('€', count / 3) + new string('x', count % 3);

    private static string Fill(string text, params string[] parts)
    {
        for (int i = 0; i < parts.Length; i++)
        {
            text = text.Replace($"<{i}>", parts[i], StringComparison.Ordinal);
        }

        return text;
    }
}
