using System.Text;
using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

/// <summary>Whatever is in the file: a configuration or at least one error, and never an exception.</summary>
public sealed class ConfigFuzzTests
{
    private const int Rounds = 1500;

    private static readonly string[] Tokens =
    [
        "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\n", "\r", "#", "\"", "'", "\"\"\"", "'''", "\\", "\\u", "\\ud800", "\0", "\u0085", "é",
        "applications", "deployments", "name", "user_config", "backpressure_config", "http_options", "[[applications]]", "[applications]", "[[applications.deployments]]",
        "1", "-1", "0x", "1e999", "nan", "inf", "1979-05-27", "07:32:00", "true", "null", "\"\"", "{}", "[]", "a.b.c = 1\n", "99999999999999999999",
    ];

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    public void ReadText_MutatedToml_NeverThrows(int seed) =>
        Mutate(RepositoryFile.Read("config.toml"), seed, bytes => ConfigReader.ReadText(Encoding.UTF8.GetString(bytes), TestCatalog.Source, TestCatalog.Builtin));

    [Theory]
    [InlineData(21)]
    [InlineData(22)]
    public void ReadText_MutatedTomlWithoutComments_NeverThrows(int seed)
    {
        string toml = ConfigWriter.ToToml(TestCatalog.ReadValid(RepositoryFile.Read("config.toml")));

        Mutate(toml, seed, bytes => ConfigReader.ReadText(Encoding.UTF8.GetString(bytes), TestCatalog.Source, TestCatalog.Builtin));
    }

    [Theory]
    [InlineData(31)]
    public void ReadJson_MutatedJson_NeverThrows(int seed)
    {
        string json = ConfigWriter.ToJson(TestCatalog.ReadValid(RepositoryFile.Read("config.toml")));

        Mutate(json, seed, bytes => ConfigReader.ReadJson(bytes, "body", TestCatalog.Builtin));
    }

    private static void Mutate(string text, int seed, Func<byte[], ConfigResult> read)
    {
        Random random = new(seed);
        byte[] original = Encoding.UTF8.GetBytes(text);
        for (int round = 0; round < Rounds; round++)
        {
            List<byte> bytes = [.. original];
            for (int edits = random.Next(1, 6); edits > 0; edits--)
            {
                Edit(bytes, random);
            }

            ConfigResult result;
            try
            {
                result = read([.. bytes]);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"Seed {seed}, round {round}:\n{Encoding.UTF8.GetString([.. bytes])}", e);
            }

            Assert.True(result.IsValid == (result.Errors.Count == 0), $"Seed {seed}, round {round}");
            Assert.All(result.Errors, error => Assert.DoesNotContain(error.ToString(), char.IsControl));
        }
    }

    private static void Edit(List<byte> bytes, Random random)
    {
        int at = random.Next(bytes.Count);
        int count = Math.Min(random.Next(1, 20), bytes.Count - at);
        switch (random.Next(5))
        {
            case 0:
                bytes[at] = (byte)random.Next(256);
                break;
            case 1 when bytes.Count > 100:
                bytes.RemoveRange(at, count);
                break;
            case 2:
                bytes.InsertRange(random.Next(bytes.Count), bytes.GetRange(at, count));
                break;
            case 3:
                int line = bytes.IndexOf((byte)'\n', at);
                bytes.InsertRange(line < 0 ? at : line + 1, bytes.GetRange(0, count));
                break;
            default:
                bytes.InsertRange(at, Encoding.UTF8.GetBytes(Tokens[random.Next(Tokens.Length)]));
                break;
        }
    }
}
