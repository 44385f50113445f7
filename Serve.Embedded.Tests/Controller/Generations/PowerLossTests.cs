using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Config;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Controller.Generations;

/// <summary>
/// The power fails at every operation of the disk in turn, in a life of accepted, good, failed, superseded and pruned generations and in the restart after it: what is read afterwards is what was
/// confirmed, or that and the one change that was under way.
/// </summary>
public sealed class PowerLossTests
{
    /// <summary>Which unflushed bytes and names survive is chance; each cut is tried with as many.</summary>
    private const int Chances = 8;

    private static readonly ServeConfig[] Configs = [.. Enumerable.Range(0, 60).Select(i => new ServeConfig { Http = new HttpOptionsConfig { Port = 1000 + i } })];

    /// <summary>One change of the store each.</summary>
    private static readonly Action<GenerationStore>[] Script = MakeScript();

    /// <summary>What is there after so many changes, as a restart finds it.</summary>
    private static readonly string[] Expected = [.. Enumerable.Range(0, Script.Length + 1).Select(ExpectedAfter)];

    [Fact]
    public void PowerLoss_AtEveryOperation_LeavesWhatWasConfirmedOrTheChangeUnderWay()
    {
        int cuts = 0;
        for (int seed = 1; seed <= Chances; seed++)
        {
            int cut = 1;
            for (; LoseAt(new(), cut, seed) is { } violation; cut++)
            {
                Assert.True(violation.Length == 0, $"cut {cut}, seed {seed}: {violation}");
            }

            cuts += cut;
        }

        // The life takes some operations; if it took none there would be nothing to cut.
        Assert.True(cuts > Chances * 200, $"only {cuts} cuts");
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void PowerLoss_OnADiskThatForgetsAFlush_IsSeenByThisTest(bool file, bool folder)
    {
        bool seen = false;
        for (int seed = 1; seed <= Chances && !seen; seed++)
        {
            for (int cut = 1; !seen && LoseAt(new() { ForgetsFileFlush = file, ForgetsFolderFlush = folder }, cut, seed) is { } violation; cut++)
            {
                seen = violation.Length > 0;
            }
        }

        Assert.True(seen);
    }

    /// <summary>What is wrong after the power failed at this operation; empty for nothing, <see langword="null"/> if the life has fewer operations.</summary>
    private static string? LoseAt(PowerCutFolder disk, int cut, int seed)
    {
        Random chance = new((seed * 7919) + cut);
        disk.CutAt = cut;
        int done = 0;
        try
        {
            using GenerationStore store = Open(disk);
            foreach (Action<GenerationStore> step in Script)
            {
                step(store);
                done++;
            }

            return null;
        }
        catch (PowerCutException)
        {
        }

        string[] allowed = [Expected[done], Expected[Math.Min(done + 1, Script.Length)]];
        disk.Restart(chance);

        // The restart writes too, and the power may fail again.
        disk.CutAt = chance.Next(1, 12);
        try
        {
            Open(disk);
        }
        catch (PowerCutException)
        {
        }

        disk.Restart(chance);
        GenerationStore after = Open(disk);
        string found = Describe(after.All);
        if (!allowed.Contains(found))
        {
            return $"after {done} changes it is\n{found}\nand not\n{string.Join("\nnor\n", allowed)}";
        }

        if (after.Trouble is string trouble)
        {
            return trouble;
        }

        int last = after.All.Count == 0 ? 0 : after.All[^1].Number;
        int next = after.Add(Configs[^1], GenerationSource.Rest).Number;
        return next > last ? "" : $"number {next} is used again";
    }

    private static GenerationStore Open(PowerCutFolder disk) => GenerationStore.Open(disk, new ManualTimeProvider(), NullLogger.Instance);

    /// <summary>By a store in memory, which no power can take away.</summary>
    private static string ExpectedAfter(int changes)
    {
        GenerationStore model = GenerationStore.Open((IStateFolder?)null, new ManualTimeProvider(), NullLogger.Instance);
        foreach (Action<GenerationStore> step in Script.Take(changes))
        {
            step(model);
        }

        return Describe(model.All.Select(g => g.Outcome == GenerationOutcome.Pending ? g with { Outcome = GenerationOutcome.Superseded } : g));
    }

    private static string Describe(IEnumerable<Generation> generations) => string.Join(" ", generations.Select(g => $"{g.Number}:{g.Outcome}:{g.Config.GetHashCode(StringComparison.Ordinal)}"));

    private static Action<GenerationStore>[] MakeScript()
    {
        List<Action<GenerationStore>> script = [];
        for (int i = 0; i < 26; i++)
        {
            int number = i + 1;
            ServeConfig config = Configs[i];
            script.Add(store => store.Add(config, GenerationSource.File, "/etc/serve/config.toml"));

            // Few are good, so that the last good one must outlive the twenty; some good ones come late, so that an old one may go.
            script.Add((number % 4) switch
            {
                _ when number is 1 or 2 or 25 => store => store.MarkGood(number),
                0 => store => store.MarkSuperseded(number, "another one came"),
                _ => store => store.MarkFailed(number, "no replica started"),
            });
        }

        script.Add(store => store.Add(Configs[1], GenerationSource.Rest, restoredFrom: 2));
        script.Add(store => store.MarkGood(27));
        return [.. script];
    }
}
