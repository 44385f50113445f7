using System.Text.Json.Serialization;

namespace EmbedInKestrel;

public sealed record Order(int Id, string Article, int Quantity);

public sealed record Summary(int Id, string Text);

public sealed record Delivery(int Id, int DaysFromNow);

public sealed class OrderStore
{
    private readonly Dictionary<int, Order> _orders = new() { [1] = new(1, "teapot", 2), [2] = new(2, "cup", 12) };

    public Order? Find(int id) => _orders.GetValueOrDefault(id);
}

[JsonSerializable(typeof(Order))]
[JsonSerializable(typeof(Summary))]
[JsonSerializable(typeof(Delivery))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
internal sealed partial class ShopJson : JsonSerializerContext;
