using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Serve.Embedded.Proxy;

namespace Serve.Embedded.Tests.Proxy;

public sealed class PendingHeadersTests
{
    private readonly PendingHeaders _headers = new();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void AnyUse_IsAsWithHeaderDictionary(int seed)
    {
        // The framework's own is the model: whatever is done to both, both say the same.
        Random random = new(seed);
        HeaderDictionary model = [];
        IHeaderDictionary[] both = [_headers, model];
        string[] names = ["Content-Type", "content-type", "Content-Length", "CONTENT-LENGTH", "X-A", "x-b"];
        for (int step = 0; step < 5000; step++)
        {
            string name = names[random.Next(names.Length)];
            StringValues value = random.Next(4) == 0 ? default(StringValues) : random.Next(100).ToString();
            int act = random.Next(9);
            foreach (IHeaderDictionary headers in both)
            {
                switch (act)
                {
                    case 0:
                        headers.ContentType = value;
                        break;
                    case 1:
                        headers.ContentLength = value.Count == 0 ? null : long.Parse(value!);
                        break;
                    case 2:
                        headers[name] = value;
                        break;
                    case 3:
                        headers.Remove(name);
                        break;
                    case 4 when !headers.ContainsKey(name):
                        ((IDictionary<string, StringValues>)headers).Add(name, value);
                        break;
                    case 5 when step % 5 == 0:
                        headers.Clear();
                        break;
                }
            }

            Assert.Equal(model.ContentLength, _headers.ContentLength);
            Assert.Equal(((IHeaderDictionary)model).ContentType, _headers.ContentType);
            if (act >= 7)
            {
                Assert.Equal(model.Count, _headers.Count);
                Assert.Equal(model[name], _headers[name]);
                Assert.Equal(model.TryGetValue(name, out StringValues expected), _headers.TryGetValue(name, out StringValues actual));
                Assert.Equal(expected, actual);
                Assert.Equal(model.OrderBy(h => h.Key, StringComparer.Ordinal), _headers.OrderBy(h => h.Key, StringComparer.Ordinal));
            }

            if (random.Next(50) == 0)
            {
                HeaderDictionary moved = [];
                _headers.MoveTo(moved);

                // A header that was added without a value is not sent.
                Assert.Equal(model.Where(h => h.Value.Count > 0).OrderBy(h => h.Key, StringComparer.OrdinalIgnoreCase), moved.OrderBy(h => h.Key, StringComparer.OrdinalIgnoreCase), SameHeader);
                _headers.Reset();
                model.Clear();
            }
        }
    }

    [Fact]
    public void ContentLength_Negative_IsRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _headers.ContentLength = -1);
        _headers["X-A"] = "b";
        Assert.Throws<ArgumentOutOfRangeException>(() => _headers.ContentLength = -1);
    }

    [Fact]
    public void MoveTo_AfterIt_NothingCanBeSetAndAllCanBeRead()
    {
        _headers.ContentType = "text/plain";
        _headers.ContentLength = 2;
        _headers.MoveTo(new HeaderDictionary());

        Assert.True(_headers.IsReadOnly);
        Assert.Throws<InvalidOperationException>(() => _headers.ContentType = "a");
        Assert.Throws<InvalidOperationException>(() => _headers.ContentLength = 1);
        Assert.Throws<InvalidOperationException>(() => _headers["X-A"] = "a");
        Assert.Throws<InvalidOperationException>(() => _headers.Add("X-A", "a"));
        Assert.Throws<InvalidOperationException>(() => _headers.Add(new("X-A", "a")));
        Assert.Throws<InvalidOperationException>(() => _headers.Remove("X-A"));
        Assert.Throws<InvalidOperationException>(() => _headers.Remove(new KeyValuePair<string, StringValues>("X-A", "a")));
        Assert.Throws<InvalidOperationException>(_headers.Clear);
        Assert.Equal(2, _headers.Count);
        Assert.Equal("2", _headers["Content-Length"]);
    }

    [Fact]
    public void Reset_AfterAResponse_IsEmptyAndCanBeSetAgain()
    {
        _headers.ContentType = "text/plain";
        _headers["X-A"] = "b";
        _headers.MoveTo(new HeaderDictionary());
        _headers.Reset();

        Assert.Empty(_headers);
        _headers.ContentType = "text/html";
        Assert.Equal("text/html", _headers["Content-Type"]);
    }

    private static bool SameHeader(KeyValuePair<string, StringValues> one, KeyValuePair<string, StringValues> other) =>
        string.Equals(one.Key, other.Key, StringComparison.OrdinalIgnoreCase) && one.Value == other.Value;
}
