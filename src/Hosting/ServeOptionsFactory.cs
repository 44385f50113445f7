using Microsoft.Extensions.Options;

namespace Serve.Embedded.Hosting;

/// <summary>Gives the one <see cref="ServeOptions"/> that <c>AddServe</c> filled to the options pattern, which then configures it further.</summary>
internal sealed class ServeOptionsFactory
{
    public ServeOptions Options { get; } = new();

    public IOptionsFactory<ServeOptions> With(
        IEnumerable<IConfigureOptions<ServeOptions>> setups, IEnumerable<IPostConfigureOptions<ServeOptions>> postSetups, IEnumerable<IValidateOptions<ServeOptions>> validations) =>
        new Factory(Options, setups, postSetups, validations);

    private sealed class Factory(
        ServeOptions options,
        IEnumerable<IConfigureOptions<ServeOptions>> setups,
        IEnumerable<IPostConfigureOptions<ServeOptions>> postSetups,
        IEnumerable<IValidateOptions<ServeOptions>> validations)
        : OptionsFactory<ServeOptions>(setups, postSetups, validations)
    {
        protected override ServeOptions CreateInstance(string name) => options;
    }
}
