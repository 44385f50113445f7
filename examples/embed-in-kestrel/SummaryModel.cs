using System.Globalization;
using Serve.Embedded;

namespace EmbedInKestrel;

/// <summary>A model that blocks its thread for a while. Each replica has one, made by the container, with the application's own services.</summary>
public sealed class SummaryModel(OrderStore orders, TimeProvider time) : IBlockingDeployment<HttpRequest, Summary>
{
    private static readonly TimeSpan ThinkingTime = TimeSpan.FromSeconds(1);

    public Summary Handle(HttpRequest request, CancellationToken cancellationToken)
    {
        // The handler sees the application's own request: its user, its services, its route values.
        int id = int.Parse((string)request.RouteValues["id"]!, CultureInfo.InvariantCulture);
        Order order = orders.Find(id) ?? throw new BadHttpRequestException($"There is no order {id}.", StatusCodes.Status404NotFound);
        Task.Delay(ThinkingTime, time, cancellationToken).GetAwaiter().GetResult();
        return new(id, $"{order.Quantity} x {order.Article}, asked for by {request.HttpContext.User.Identity!.Name}");
    }
}
