using System.Runtime.InteropServices;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// posix_spawn: a program in a session of its own, with default signal dispositions and no descriptor but its three. .NET's own Process can give neither the session
/// nor the descriptors. When <see cref="Start"/> returns, the program has been loaded: errors of exec come back as errno.
/// </summary>
internal static unsafe partial class SpawnedProcess
{
    private const short SetSignalDefaults = 0x04;
    private const short SetSignalMask = 0x08;
    private const short SetSession = 0x80;

    private const int ReadOnly = 0;
    private const int WriteOnly = 1;
    private const int FirstToClose = 3;

    /// <summary>More than the largest of posix_spawnattr_t (336), posix_spawn_file_actions_t (80) and sigset_t (128) in glibc and musl.</summary>
    private const int RoomForStruct = 512;

    /// <summary>
    /// Starts the file <paramref name="path"/>. A stream that is null is /dev/null. The <paramref name="blocked"/> signals do not reach it unless it unblocks them.
    /// </summary>
    /// <returns>0, or errno.</returns>
    public static int Start(
        string path,
        IReadOnlyList<string> arguments,
        IReadOnlyDictionary<string, string> environment,
        string workingDirectory,
        SafeHandle? input,
        SafeHandle? output,
        SafeHandle? error,
        ReadOnlySpan<int> blocked,
        out int process)
    {
        byte* attributes = stackalloc byte[RoomForStruct];
        byte* actions = stackalloc byte[RoomForStruct];
        byte* signals = stackalloc byte[RoomForStruct];
        Check(AttributesInit(attributes));
        Check(ActionsInit(actions));
        try
        {
            Check(AttributesSetFlags(attributes, SetSession | SetSignalDefaults | SetSignalMask));
            Check(SignalsFill(signals));
            Check(AttributesSetDefaults(attributes, signals));
            Check(SignalsEmpty(signals));
            foreach (int signal in blocked)
            {
                Check(SignalsAdd(signals, signal));
            }

            Check(AttributesSetMask(attributes, signals));
            Redirect(actions, 0, input, ReadOnly);
            Redirect(actions, 1, output, WriteOnly);
            Redirect(actions, 2, error, WriteOnly);
            Check(ActionsCloseFrom(actions, FirstToClose));
            Check(ActionsChangeDirectory(actions, workingDirectory));

            using StringVector argumentVector = new(arguments);
            using StringVector environmentVector = new(environment.Select(static v => $"{v.Key}={v.Value}"));
            int result = Spawn(out process, path, actions, attributes, argumentVector.Pointer, environmentVector.Pointer);
            GC.KeepAlive(input);
            GC.KeepAlive(output);
            GC.KeepAlive(error);
            return result;
        }
        finally
        {
            _ = ActionsDestroy(actions);
            _ = AttributesDestroy(attributes);
        }
    }

    private static void Redirect(byte* actions, int descriptor, SafeHandle? to, int mode)
    {
        if (to is null)
        {
            Check(ActionsOpen(actions, descriptor, "/dev/null", mode, 0));
        }
        else
        {
            Check(ActionsDuplicate(actions, (int)to.DangerousGetHandle(), descriptor));
        }
    }

    private static void Check(int error)
    {
        if (error != 0)
        {
            throw new WorkerStartException($"A worker's start cannot be prepared: {Marshal.GetPInvokeErrorMessage(error)}");
        }
    }

    [LibraryImport("libc", EntryPoint = "posix_spawn", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Spawn(out int process, string path, byte* actions, byte* attributes, byte** arguments, byte** environment);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_init")]
    private static partial int AttributesInit(byte* attributes);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_destroy")]
    private static partial int AttributesDestroy(byte* attributes);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setflags")]
    private static partial int AttributesSetFlags(byte* attributes, short flags);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setsigdefault")]
    private static partial int AttributesSetDefaults(byte* attributes, byte* signals);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setsigmask")]
    private static partial int AttributesSetMask(byte* attributes, byte* signals);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_init")]
    private static partial int ActionsInit(byte* actions);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_destroy")]
    private static partial int ActionsDestroy(byte* actions);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_addopen", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ActionsOpen(byte* actions, int descriptor, string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_adddup2")]
    private static partial int ActionsDuplicate(byte* actions, int descriptor, int to);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_addclosefrom_np")]
    private static partial int ActionsCloseFrom(byte* actions, int from);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_addchdir_np", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ActionsChangeDirectory(byte* actions, string path);

    [LibraryImport("libc", EntryPoint = "sigemptyset")]
    private static partial int SignalsEmpty(byte* signals);

    [LibraryImport("libc", EntryPoint = "sigfillset")]
    private static partial int SignalsFill(byte* signals);

    [LibraryImport("libc", EntryPoint = "sigaddset")]
    private static partial int SignalsAdd(byte* signals, int signal);

    /// <summary>argv or envp: pointers to strings, ended by a null pointer.</summary>
    private readonly ref struct StringVector : IDisposable
    {
        private readonly int _count;

        public StringVector(IEnumerable<string> strings)
        {
            string[] all = [.. strings];
            _count = all.Length;
            Pointer = (byte**)NativeMemory.AllocZeroed((nuint)(all.Length + 1), (nuint)sizeof(byte*));
            for (int i = 0; i < all.Length; i++)
            {
                Pointer[i] = (byte*)Marshal.StringToCoTaskMemUTF8(all[i]);
            }
        }

        public byte** Pointer { get; }

        public void Dispose()
        {
            for (int i = 0; i < _count; i++)
            {
                Marshal.FreeCoTaskMem((nint)Pointer[i]);
            }

            NativeMemory.Free(Pointer);
        }
    }
}
