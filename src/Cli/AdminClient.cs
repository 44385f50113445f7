using System.Net.Sockets;
using System.Text.Json;

namespace Serve.Embedded.Cli;

/// <summary>Asks a running server over its admin port.</summary>
internal sealed class AdminClient : IDisposable
{
    public const string AddressVariable = "SERVE_ADDRESS";
    public const string DefaultAddress = "http://127.0.0.1:8265";

    private readonly HttpClient _client;
    private readonly Uri _address;

    private AdminClient(Uri address)
    {
        _address = address;
        _client = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(5) })
        {
            BaseAddress = address,
            Timeout = TimeSpan.FromSeconds(10),
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

        return Uri.TryCreate(written, UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https"
            ? new(address)
            : throw new UsageException($"'{written}' is not an address. Write it like {DefaultAddress}.");
    }

    /// <exception cref="AdminException">The server cannot be reached, or says no.</exception>
    public async Task<string> GetAsync(string path)
    {
        try
        {
            using HttpResponseMessage response = await _client.GetAsync(new Uri(path, UriKind.Relative));
            string body = await response.Content.ReadAsStringAsync();
            return response.IsSuccessStatusCode
                ? body
                : throw new AdminException($"{new Uri(_address, path)} answered {(int)response.StatusCode}: {body}");
        }
        catch (HttpRequestException exception)
        {
            string why = exception.InnerException is SocketException socket ? socket.Message : exception.Message;
            throw new AdminException(
                $"No server answers at {_address}: {why}. Start one with 'serve run', or name its admin address with --address or {AddressVariable}.");
        }
        catch (TaskCanceledException)
        {
            throw new AdminException($"The server at {_address} did not answer within {_client.Timeout.TotalSeconds} s.");
        }
    }

    /// <inheritdoc cref="GetAsync"/>
    public async Task<JsonDocument> GetJsonAsync(string path)
    {
        string body = await GetAsync(path);
        try
        {
            return JsonDocument.Parse(body);
        }
        catch (JsonException)
        {
            throw new AdminException($"{new Uri(_address, path)} answered something that is not JSON. Is it the admin port of this server?");
        }
    }

    public void Dispose() => _client.Dispose();
}

/// <summary>A running server could not be asked, in words for who asked. Exit code 1.</summary>
internal sealed class AdminException(string message) : Exception(message);
