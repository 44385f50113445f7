using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Serve.Embedded.Proxy;

/// <summary>
/// Tells Linux to let no new connection begin on a listening socket while those that have begun are still taken in. Without it, whoever connects between the last look
/// at the backlog and the closing of the socket is reset with his request already sent; with it his first packet gets no answer, and the next one a refusal.
/// </summary>
internal static unsafe class ListenerFilter
{
    private const int SocketLevel = 1;
    private const int AttachFilter = 26;

    /// <summary>Whether the system does it; where it does not, the socket is as it was.</summary>
    public static bool TryRefuseNew(Socket listener)
    {
        if (!OperatingSystem.IsLinux())
        {
            return false;
        }

        // A program of the classic packet filter. It sees the TCP header, whose byte 13 has the flags: a SYN without an ACK begins a connection.
        ReadOnlySpan<Instruction> program =
        [
            new(0x30, 0, 0, 13), // load byte 13
            new(0x54, 0, 0, 0x12), // keep SYN and ACK
            new(0x15, 0, 1, 0x02), // SYN alone?
            new(0x06, 0, 0, 0), // drop
            new(0x06, 0, 0, uint.MaxValue), // accept
        ];
        fixed (Instruction* instructions = program)
        {
            Program filter = new((ushort)program.Length, instructions);
            try
            {
                listener.SetRawSocketOption(SocketLevel, AttachFilter, new ReadOnlySpan<byte>(&filter, sizeof(Program)));
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private readonly record struct Instruction(ushort Code, byte JumpTrue, byte JumpFalse, uint Value);

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Program(ushort length, Instruction* instructions)
    {
        private readonly ushort _length = length;
        private readonly Instruction* _instructions = instructions;
    }
}
