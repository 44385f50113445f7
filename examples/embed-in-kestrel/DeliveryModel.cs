using Serve.Embedded;

namespace EmbedInKestrel;

/// <summary>A model that guesses when an order arrives. It takes what the application has, not HTTP: an endpoint of the application calls it through a handle.</summary>
public sealed class DeliveryModel(TimeProvider time) : IDeployment<Order, Delivery>
{
    private static readonly TimeSpan ThinkingTime = TimeSpan.FromSeconds(1);

    public async ValueTask<Delivery> HandleAsync(Order order, CancellationToken cancellationToken)
    {
        await Task.Delay(ThinkingTime, time, cancellationToken);
        return new(order.Id, DaysFromNow: 1 + (order.Quantity / 10));
    }
}
