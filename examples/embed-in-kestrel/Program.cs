// A shop's API as it was: orders behind an API key. What is new stands between the two lines: summaries of orders take a model that is slow and holds few requests at once,
// so they get a deployment with replicas, a bounded queue and immediate refusals. So does the model that guesses when an order arrives, which an endpoint of the shop's own calls.
// The rest of the application is as fast as before, however many want either.
using EmbedInKestrel;
using Serve.Embedded;

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
builder.Services.ConfigureHttpJsonOptions(options => options.SerializerOptions.TypeInfoResolverChain.Insert(0, ShopJson.Default));
builder.Services.AddAuthentication(ApiKeyScheme.Name).AddScheme<ApiKeyOptions, ApiKeyScheme>(ApiKeyScheme.Name, options => options.Key = builder.Configuration["ApiKey"] ?? "secret");
builder.Services.AddAuthorization();
builder.Services.AddSingleton<OrderStore>();
builder.Services.AddOpenApi();

// ---
builder.Services.AddServe(serve =>
{
    serve.ConfigFile = "config.toml";
    serve.AddApplication("summaries", app => app
        .AddBlocking<SummaryModel, HttpRequest, Summary>("SummaryModel", new() { MaxOngoingRequests = 2, MaxQueuedRequests = 2 }, ShopJson.Default.Summary)
        .Add<DeliveryModel, Order, Delivery>("DeliveryModel", new() { MaxOngoingRequests = 1, MaxQueuedRequests = 1 }));
});
builder.Services.AddProblemDetails().AddExceptionHandler<ServeExceptionHandler>();
builder.Services.AddHealthChecks().AddServe();

// ---
WebApplication app = builder.Build();
app.UseExceptionHandler();
app.UseAuthentication();
app.UseAuthorization();
app.MapGet("/orders/{id:int}", (int id, OrderStore orders) => orders.Find(id) is { } order ? Results.Ok(order) : Results.NotFound()).RequireAuthorization();
app.MapOpenApi();

// ---
app.MapServe("/orders/{id:int}/summary", application: "summaries").WithMetadata(new HttpMethodMetadata([HttpMethods.Get])).WithName("Summarize").RequireAuthorization();
app.MapGet("/orders/{id:int}/delivery", async (
    int id, OrderStore orders, [FromKeyedServices("summaries/DeliveryModel")] DeploymentHandle<Order, Delivery> model, CancellationToken left) =>
    orders.Find(id) is { } order ? Results.Ok(await model.CallAsync(order, left)) : Results.NotFound()).RequireAuthorization();
app.MapServeAdmin("/serve-admin").RequireAuthorization();
app.MapHealthChecks("/healthz");

// ---
app.Run();
