using Microsoft.Extensions.Options;

namespace Serve.Embedded.Hosting;

/// <summary>Gives the one <see cref="ServeOptions"/> that <c>AddServe</c> filled to the options pattern, which then configures it further.</summary>
internal sealed class ServeOptionsFactory
{
    public ServeOptions Options { get; } = new();

    public IOptionsFactory<ServeOptions> With(IEnumerable<IConfigureOptions<ServeOptions>> setups, IEnumerable<IPostConfigureOptions<ServeOptions>> postSetups) =>
        new Factory(Options, setups, postSetups);

    private sealed class Factory(ServeOptions options, IEnumerable<IConfigureOptions<ServeOptions>> setups, IEnumerable<IPostConfigureOptions<ServeOptions>> postSetups)
        : OptionsFactory<ServeOptions>(setups, postSetups)
    {
        protected override ServeOptions CreateInstance(string name) => options;
    }
}
