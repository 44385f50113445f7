using System.Net.Sockets;
using System.Text;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Tests.Stress;

/// <summary>A client that opens one connection after the other, sends one or several requests at a time, and waits for the answers or does not.</summary>
/// <param name="stress">Whose it is.</param>
/// <param name="index">Which of the clients.</param>
/// <param name="random">Decides.</param>
internal sealed class RoadStressClient(RoadStress stress, int index, SeededRandom random)
{
    private int _number;

    /// <summary>The connection has carried a request that is not plain.</summary>
    private bool _isLong;

    /// <summary>Requests of the connection.</summary>
    private int _answered;

    /// <summary>The last of the connection whose answer has come. Who leaves after it may do so before the server has noted that it is answered.</summary>
    private RoadRequest? _before;

    private enum Leaves
    {
        No,
        WithinARequest,
        AtOnce,
        WhileItWaits,
        WhileItIsAnswered,
    }

    public async Task RunAsync(int requests)
    {
        while (_number < requests && !stress.GivesUp.IsCancellationRequested)
        {
            using Socket socket = await stress.ConnectAsync();
            try
            {
                await TalkAsync(socket);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task TalkAsync(Socket socket)
    {
        _isLong = false;
        _answered = 0;
        _before = null;
        RoadAnswers answers = new(socket, stress.Ledger, stress.GivesUp);
        for (int batches = random.Next(1, 12); batches > 0; batches--)
        {
            RoadRequest[] batch = [.. Enumerable.Range(0, random.Next(4) == 0 ? random.Next(2, 5) : 1).Select(_ => RoadRequest.Random(random, $"c{index}n{_number++}."))];
            Leaves leaves = random.Next(10) == 0 ? (Leaves)random.Next(1, 5) : Leaves.No;
            foreach (RoadRequest request in batch)
            {
                request.HasLeft = leaves != Leaves.No;
                stress.Ledger.Add(request);
            }

            _isLong |= batch.Any(r => !r.IsPlain);
            string text = string.Concat(batch.Select(r => r.Text));
            if (leaves == Leaves.WithinARequest)
            {
                text = text[..random.Next(text.Length)];
            }

            bool inPieces = random.Next(3) == 0;
            bool isSent = await SendAsync(socket, text, inPieces);
            switch (leaves)
            {
                case Leaves.WhileItWaits:
                    await PauseAsync(random.Next(300));
                    break;
                case Leaves.WhileItIsAnswered:
                    await answers.SomethingAsync();
                    break;
                case Leaves.No when await ReadAsync(answers, batch, mayBeCut: inPieces || !isSent, isLast: batches == 1):
                    _before = batch[^1];
                    continue;
            }

            if (leaves != Leaves.No)
            {
                _before?.HasLeft = true;
            }

            if (leaves != Leaves.No && random.Next(2) == 0)
            {
                socket.LingerState = new(true, 0);
            }

            return;
        }
    }

    /// <returns>Whether all of it is sent.</returns>
    private async Task<bool> SendAsync(Socket socket, string text, bool inPieces)
    {
        stress.Ledger.Happens();
        byte[] bytes = Encoding.Latin1.GetBytes(text);
        try
        {
            for (int sent = 0; sent < bytes.Length;)
            {
                int count = inPieces ? random.Next(1, bytes.Length - sent + 1) : bytes.Length - sent;
                sent += await socket.SendAsync(bytes.AsMemory(sent, count), stress.GivesUp);
                await PauseAsync(inPieces ? random.Next(20) : 0);
            }

            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <param name="answers">Where they come.</param>
    /// <param name="batch">What was sent.</param>
    /// <param name="mayBeCut">Some of it may have been sent after the server had closed the connection, which throws away what was not read yet.</param>
    /// <param name="isLast">The connection is closed after it.</param>
    /// <returns>Whether the connection goes on.</returns>
    private async Task<bool> ReadAsync(RoadAnswers answers, RoadRequest[] batch, bool mayBeCut, bool isLast)
    {
        mayBeCut |= batch.Any(r => r.MayBeBrokenOff);
        foreach (RoadRequest request in batch)
        {
            switch (await answers.ReadAsync(request))
            {
                case RoadAnswerEnd.Closes:
                    request.HasLeft = true;
                    return false;
                case RoadAnswerEnd.BrokenOff:
                    return false;
                case RoadAnswerEnd.None:
                    // What Kestrel has and has not sent yet cannot be taken back to say something else. A connection that was used before may end before it is again.
                    if (!_isLong && !(mayBeCut && answers.WasReset) && !(_answered > 0 && request.Runs == 0))
                    {
                        stress.Ledger.Violation(5, $"{request} has no answer, and its connection {(answers.WasReset ? "was reset" : "has ended")} without a word");
                    }

                    return false;
            }

            _answered++;
            request.HasLeft = isLast && request == batch[^1];
        }

        if (answers.HasMore)
        {
            stress.Ledger.Violation(5, $"after {batch[^1].Token} came what nobody has asked for");
        }

        return true;
    }

    private static async Task PauseAsync(int yields)
    {
        for (; yields > 0; yields--)
        {
            await Task.Yield();
        }
    }
}
