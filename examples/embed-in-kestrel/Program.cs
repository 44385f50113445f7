// A shop's API as it was: orders behind an API key. What is new stands between the two lines: summaries of orders take a model that is slow and holds few requests at once,
// so they get a deployment with replicas, a bounded queue and immediate refusals. The rest of the application is as fast as before, however many want summaries.
using EmbedInKestrel;
using Serve.Embedded;

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
builder.Services.ConfigureHttpJsonOptions(options => options.SerializerOptions.TypeInfoResolverChain.Insert(0, ShopJson.Default));
builder.Services.AddAuthentication(ApiKeyScheme.Name).AddScheme<ApiKeyOptions, ApiKeyScheme>(ApiKeyScheme.Name, options => options.Key = builder.Configuration["ApiKey"] ?? "secret");
builder.Services.AddAuthorization();
builder.Services.AddSingleton<OrderStore>();

// ---
builder.Services.AddServe(serve =>
{
    serve.ConfigFile = "config.toml";
    serve.AddApplication("summaries", app => app
        .AddBlocking<SummaryModel, HttpRequest, Summary>("SummaryModel", new() { MaxOngoingRequests = 2, MaxQueuedRequests = 2 }, ShopJson.Default.Summary));
});
builder.Services.AddHealthChecks().AddServe();

// ---
WebApplication app = builder.Build();
app.UseAuthentication();
app.UseAuthorization();
app.MapGet("/orders/{id:int}", (int id, OrderStore orders) => orders.Find(id) is { } order ? Results.Ok(order) : Results.NotFound()).RequireAuthorization();

// ---
app.MapServe("/orders/{id:int}/summary", application: "summaries").RequireAuthorization();
app.MapServeAdmin("/serve-admin").RequireAuthorization();
app.MapHealthChecks("/healthz");

// ---
app.Run();
