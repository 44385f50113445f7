using System.Globalization;
using Serve.Embedded.Config;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Controller.Scaling;

/// <summary>What replicas take of the box, in whole numbers so that sums are exact.</summary>
/// <param name="Replicas">How many.</param>
/// <param name="MilliCpus">Thousandths of a processor.</param>
/// <param name="MemoryMb">MiB.</param>
internal readonly record struct BoxUse(long Replicas, long MilliCpus, long MemoryMb)
{
    /// <summary>
    /// What one replica takes: what its deployment declares. One that is compiled in takes nothing where nothing is declared, since it is a few objects; a worker is a process, and takes a processor.
    /// </summary>
    public static BoxUse OfReplica(double? numCpus, int? memoryMb, bool isWorker = false) =>
        new(1, (long)Math.Ceiling(((numCpus ?? (isWorker ? 1 : 0)) * 1000) - 1e-6), memoryMb ?? 0);

    public static BoxUse operator +(BoxUse left, BoxUse right) => new(left.Replicas + right.Replicas, left.MilliCpus + right.MilliCpus, left.MemoryMb + right.MemoryMb);

    public static BoxUse operator *(BoxUse use, long times) => new(use.Replicas * times, use.MilliCpus * times, use.MemoryMb * times);
}

/// <summary>One of the things that a box has only so much of.</summary>
internal enum BoxResource
{
    Replicas,
    Cpus,
    Memory,
}

/// <summary>What all replicas together may take.</summary>
/// <param name="Limit">The limits; <see cref="long.MaxValue"/> = none.</param>
/// <param name="MachineMemoryMb">What the machine has, whatever the operator lets replicas plan with; <see cref="long.MaxValue"/> = not known.</param>
internal sealed record BoxBudget(BoxUse Limit, long MachineMemoryMb)
{
    private static readonly BoxResource[] All = [BoxResource.Replicas, BoxResource.Cpus, BoxResource.Memory];

    public static BoxBudget Of(BoxConfig config, MachineResources machine) => new(
        new(
            config.MaxReplicas ?? long.MaxValue,
            (long)Math.Floor(((config.Cpus ?? machine.Cpus) * 1000) + 1e-6),
            config.MemoryMb ?? machine.MemoryMb ?? long.MaxValue),
        machine.MemoryMb ?? long.MaxValue);

    /// <summary>How many such replicas it holds beside what is taken already; <see cref="int.MaxValue"/> = any number.</summary>
    public int Holds(BoxUse replica, BoxUse taken = default)
    {
        long most = int.MaxValue;
        foreach (BoxResource resource in All)
        {
            if (Of(replica, resource) is > 0 and long one && Of(Limit, resource) is long limit and < long.MaxValue)
            {
                most = Math.Min(most, Math.Max(0, limit - Of(taken, resource)) / one);
            }
        }

        return (int)most;
    }

    /// <summary>What there would be too little of; <see langword="null"/> = it all fits.</summary>
    public BoxResource? Lacks(BoxUse use)
    {
        foreach (BoxResource resource in All)
        {
            if (Of(use, resource) > Of(Limit, resource))
            {
                return resource;
            }
        }

        return null;
    }

    /// <summary>The largest part of the box, of anything that it has, that this takes: from 0, and 1 is all of it.</summary>
    public double LargestPart(BoxUse use)
    {
        double part = 0;
        foreach (BoxResource resource in All)
        {
            if (Of(use, resource) is > 0 and long some && Of(Limit, resource) is long limit and < long.MaxValue)
            {
                part = Math.Max(part, (double)some / Math.Max(1, limit));
            }
        }

        return part;
    }

    /// <summary>An amount in words, such as "1.5 CPUs".</summary>
    public static string Words(BoxResource resource, BoxUse use) => resource switch
    {
        BoxResource.Replicas => string.Create(CultureInfo.InvariantCulture, $"{use.Replicas} replica(s)"),
        BoxResource.Cpus => string.Create(CultureInfo.InvariantCulture, $"{use.MilliCpus / 1000.0} CPU(s)"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{use.MemoryMb} MiB of memory"),
    };

    /// <summary>The key of <c>[box]</c> that limits it.</summary>
    public static string Key(BoxResource resource) => resource switch
    {
        BoxResource.Replicas => "max_replicas",
        BoxResource.Cpus => "cpus",
        _ => "memory_mb",
    };

    private static long Of(BoxUse use, BoxResource resource) => resource switch
    {
        BoxResource.Replicas => use.Replicas,
        BoxResource.Cpus => use.MilliCpus,
        _ => use.MemoryMb,
    };
}
