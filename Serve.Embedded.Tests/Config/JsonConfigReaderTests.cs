using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

public sealed class JsonConfigReaderTests
{
    [Fact]
    public void Read_Valid_GivesTheTreeWithPlaces()
    {
        ConfigErrors errors = new("j");

        ConfigNode root = JsonConfigReader.Read("{\n \"a\": [1, 2.0, -1e3, \"é\\n\", true, null],\n\n \"b\": {}\n}", errors)!;

        Assert.Empty(errors.ToList());
        Assert.Equal("""{"a":[1,2.0,-1000.0,"é\n",true,null],"b":{}}""", JsonText.Canonical(root));
        Assert.Equal(new TextPlace(2, 2), root.Members["a"].KeyPlace);
        Assert.Equal(new TextPlace(4, 7), root.Members["b"].Value.Place);
        Assert.Null(root.Members["a"].Value.Find("a"));
    }

    [Theory]
    [InlineData("", "j:1:1: not JSON: ")]
    [InlineData("{\n \"a\": }", "j:2:7: not JSON: ")]
    [InlineData("{} x", "j:1:4: not JSON: ")]
    [InlineData("{\"a\": 1,\n \"a\": 2}", "j:2:2: a is written twice; the first is on line 1")]
    [InlineData("{\"a\": 99999999999999999999}", "j:1:7: 99999999999999999999 does not fit into 64 bits")]
    [InlineData("{\"a\": \"\\ud800\"}", "j:1:7: not JSON: the string holds half of a surrogate pair")]
    public void Read_Bad_NamesThePlace(string json, string expected)
    {
        ConfigErrors errors = new("j");

        JsonConfigReader.Read(json, errors);

        Assert.StartsWith(expected, Assert.Single(errors.ToList()).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Read_NestedTooDeep_IsAnError()
    {
        ConfigErrors errors = new("j");

        Assert.Null(JsonConfigReader.Read(new string('[', 100_000), errors));
        Assert.Single(errors.ToList());
    }
}
