using System.Net.Sockets;
using System.Text.Json;
using Serve.Embedded.Config;
using Serve.Embedded.Hosting;

namespace Serve.Embedded.Cli;

/// <summary>Asks a running server over its admin port.</summary>
internal sealed class AdminClient : IDisposable
{
    public const string AddressVariable = "SERVE_ADDRESS";
    public const string TokenVariable = "SERVE_TOKEN_FILE";
    public const string DefaultAddress = "http://127.0.0.1:8265";

    private const string MayStill = " It may still do what it was asked for: 'serve history' lists what it has accepted, 'serve status' shows what runs.";

    /// <summary>For what is at hand, and needs nothing to be built.</summary>
    public static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(10);

    private readonly HttpClient _client;
    private readonly Uri _address;
    private readonly TimeSpan _longestConnect;

    private AdminClient(Uri address, TimeSpan longestConnect)
    {
        // Inside a host the admin API has a prefix.
        _address = new($"{address.GetLeftPart(UriPartial.Path).TrimEnd('/')}/");
        _longestConnect = longestConnect;
        _client = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, ConnectTimeout = longestConnect })
        {
            Timeout = Timeout.InfiniteTimeSpan,
            MaxResponseContentBufferSize = 64 << 20,
        };
    }

    /// <exception cref="UsageException">The address is none.</exception>
    public static AdminClient Create(CliArguments arguments, CliContext context)
    {
        string written = arguments.Value(Command.Address.Name) ?? context.Environment(AddressVariable) ?? string.Empty;
        if (written.Length == 0)
        {
            written = DefaultAddress;
        }

        AdminClient client = Uri.TryCreate(written, UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https"
            ? new(address, context.LongestConnect)
            : throw new UsageException($"'{written}' is not an address. Write it like {DefaultAddress}.");
        string tokenFile = arguments.Value(Command.Token.Name) ?? context.Environment(TokenVariable) ?? string.Empty;
        if (tokenFile.Length > 0)
        {
            client._client.DefaultRequestHeaders.Authorization = new("Bearer", TokenIn(tokenFile));
        }

        return client;
    }

    /// <summary>A file that is to be sent.</summary>
    /// <exception cref="AdminException">It cannot be read.</exception>
    public static async Task<byte[]> ReadFileAsync(string file)
    {
        try
        {
            return await File.ReadAllBytesAsync(file);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new AdminException($"Cannot read {file}: there is no such file.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new AdminException($"Cannot read {file}: {exception.Message}");
        }
    }

    /// <summary>What a query says of the file that is sent: its name, and its folder where the server may see the same one.</summary>
    public string OriginOf(string file) =>
        $"source={Uri.EscapeDataString(file)}{(_address.IsLoopback ? $"&folder={Uri.EscapeDataString(ConfigFile.FolderOf(file))}" : "")}";

    private static string TokenIn(string file)
    {
        try
        {
            string token = File.ReadAllText(file).Trim();
            return token.Length == 0 ? throw new AdminException($"The token file {file} is empty.")
                : AdminToken.IsSendable(token) ? token
                : throw new AdminException($"The token file {file} holds what no request can send: a token is one line of ASCII characters.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new AdminException($"The token file {file} cannot be read: {exception.Message}");
        }
    }

    /// <exception cref="AdminException">The server cannot be reached, or says no.</exception>
    public async Task<string> GetAsync(string path) => await ReadAsync(Request(HttpMethod.Get, path));

    /// <inheritdoc cref="GetAsync"/>
    public async Task<JsonDocument> GetJsonAsync(string path) => Parse(path, await GetAsync(path));

    /// <summary>Asks about what is sent, and changes nothing.</summary>
    /// <inheritdoc cref="GetAsync"/>
    public async Task<JsonDocument> AskAsync(string path, byte[] body, string contentType) => Parse(path, await ReadAsync(Request(HttpMethod.Post, path, body, contentType)));

    /// <summary>Asks for a change, which the server may have to build something for.</summary>
    /// <inheritdoc cref="GetAsync"/>
    /// <exception cref="InterruptedException">Who asked waits no more.</exception>
    public async Task<JsonDocument> ChangeAsync(HttpMethod method, string path, ChangePatience patience, byte[]? body = null, string? contentType = null)
    {
        try
        {
            return Parse(path, await SendAsync(Request(method, path, body, contentType), patience.AtMost, MayStill, patience.Over));
        }
        catch (AdminException) when (patience.IsInterrupted)
        {
            throw new InterruptedException($"Interrupted before the server at {_address} has answered.{MayStill}");
        }
    }

    private Uri At(string path) => new(_address, path.TrimStart('/'));

    private HttpRequestMessage Request(HttpMethod method, string path, byte[]? body = null, string? contentType = null)
    {
        HttpRequestMessage request = new(method, At(path));
        if (body is not null)
        {
            request.Content = new ByteArrayContent(body);
            request.Content.Headers.ContentType = new(contentType!);
        }

        return request;
    }

    /// <summary>By the system's clock, as a socket's own limits are.</summary>
    private async Task<string> ReadAsync(HttpRequestMessage request)
    {
        using CancellationTokenSource over = new(AtOnce);
        return await SendAsync(request, AtOnce, "", over.Token);
    }

    /// <param name="asked">What is asked.</param>
    /// <param name="atMost">How long it may take, for who is told.</param>
    /// <param name="mayStill">What the server may do all the same, when its answer does not come.</param>
    /// <param name="over">The time is over.</param>
    private async Task<string> SendAsync(HttpRequestMessage asked, TimeSpan atMost, string mayStill, CancellationToken over)
    {
        using HttpRequestMessage request = asked;
        try
        {
            using HttpResponseMessage response = await _client.SendAsync(request, over);
            string body = await response.Content.ReadAsStringAsync(over);
            return response.IsSuccessStatusCode ? body : throw new AdminException(ErrorOf(request, (int)response.StatusCode, body));
        }
        catch (HttpRequestException exception) when (mayStill.Length > 0 && exception.HttpRequestError is (HttpRequestError.ResponseEnded or HttpRequestError.Unknown))
        {
            throw new AdminException($"The server at {_address} was lost before it had answered: {exception.GetBaseException().Message.TrimEnd('.')}.{mayStill}");
        }
        catch (HttpRequestException exception)
        {
            throw NoServer(exception.InnerException is SocketException socket ? socket.Message : exception.Message);
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            throw new AdminException($"The server at {_address} did not answer within {atMost.TotalSeconds} s.{mayStill}");
        }
        catch (OperationCanceledException)
        {
            throw NoServer($"no connection within {_longestConnect.TotalSeconds} s");
        }
    }

    private AdminException NoServer(string why) =>
        new($"No server answers at {_address}: {why}. Start one with 'serve run', or name its admin address with --address or {AddressVariable}.");

    /// <summary>The server's own words where it has some: they are for people.</summary>
    private static string ErrorOf(HttpRequestMessage request, int statusCode, string body)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(body);
            if (document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty("error", out JsonElement error) && error.GetString() is { Length: > 0 } text)
            {
                return text;
            }
        }
        catch (JsonException)
        {
            // Not ours: shown as it is.
        }

        return $"{request.RequestUri} answered {statusCode}{(body.Length > 0 ? $": {body}" : ". Is it the admin port of a server?")}";
    }

    private JsonDocument Parse(string path, string body)
    {
        try
        {
            return JsonDocument.Parse(body);
        }
        catch (JsonException)
        {
            throw new AdminException($"{At(path)} answered something that is not JSON. Is it the admin port of this server?");
        }
    }

    public void Dispose() => _client.Dispose();
}

/// <summary>A running server could not be asked, in words for who asked. Exit code 1.</summary>
internal sealed class AdminException(string message) : Exception(message);
