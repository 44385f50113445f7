using System.Collections;
using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace Serve.Embedded.Proxy;

/// <summary>The headers that a handler sets before its response begins.</summary>
/// <remarks>
/// The two that nearly every handler sets are kept beside the dictionary while there are no others: in it they were a twentieth of what a small request costs.
/// Whoever asks for anything else finds them in it.
/// </remarks>
internal sealed class PendingHeaders : IHeaderDictionary
{
    private readonly HeaderDictionary _all = [];
    private StringValues _contentType;
    private long? _contentLength;

    /// <summary>The response has begun, with what was here.</summary>
    public bool IsReadOnly { get; private set; }

    public int Count => All.Count;

    public ICollection<string> Keys => All.Keys;

    public ICollection<StringValues> Values => All.Values;

    public StringValues ContentType
    {
        get => _all.Count > 0 ? _all[HeaderNames.ContentType] : _contentType;
        set
        {
            ThrowIfReadOnly();
            if (_all.Count > 0)
            {
                All[HeaderNames.ContentType] = value;
            }
            else
            {
                _contentType = value;
            }
        }
    }

    public long? ContentLength
    {
        get => _all.Count > 0 ? _all.ContentLength : _contentLength;
        set
        {
            ThrowIfReadOnly();
            if (_all.Count > 0)
            {
                All.ContentLength = value;
            }
            else
            {
                ArgumentOutOfRangeException.ThrowIfNegative(value ?? 0, nameof(value));
                _contentLength = value;
            }
        }
    }

    /// <summary>The whole of it, in one dictionary.</summary>
    private HeaderDictionary All
    {
        get
        {
            if (_contentType.Count > 0)
            {
                _all[HeaderNames.ContentType] = _contentType;
                _contentType = default;
            }

            if (_contentLength is { } length)
            {
                _all.ContentLength = length;
                _contentLength = null;
            }

            return _all;
        }
    }

    public StringValues this[string key]
    {
        get => All[key];
        set
        {
            ThrowIfReadOnly();
            All[key] = value;
        }
    }

    /// <summary>Ready for the next response.</summary>
    public void Reset()
    {
        IsReadOnly = false;
        _contentType = default;
        _contentLength = null;
        if (_all.Count > 0)
        {
            _all.Clear();
        }
    }

    /// <summary>The response begins with these headers, and none can be set here any more.</summary>
    public void MoveTo(IHeaderDictionary response)
    {
        IsReadOnly = true;
        if (_contentType.Count > 0)
        {
            response.ContentType = _contentType;
        }

        if (_contentLength is { } length)
        {
            response.ContentLength = length;
        }

        if (_all.Count > 0)
        {
            foreach (KeyValuePair<string, StringValues> header in _all)
            {
                response[header.Key] = header.Value;
            }
        }
    }

    public bool ContainsKey(string key) => All.ContainsKey(key);

    public bool TryGetValue(string key, [MaybeNullWhen(false)] out StringValues value) => All.TryGetValue(key, out value);

    public bool Contains(KeyValuePair<string, StringValues> item) => All.Contains(item);

    public void CopyTo(KeyValuePair<string, StringValues>[] array, int arrayIndex) => All.CopyTo(array, arrayIndex);

    public void Add(string key, StringValues value)
    {
        ThrowIfReadOnly();
        All.Add(key, value);
    }

    public void Add(KeyValuePair<string, StringValues> item)
    {
        ThrowIfReadOnly();
        All.Add(item);
    }

    public bool Remove(string key)
    {
        ThrowIfReadOnly();
        return All.Remove(key);
    }

    public bool Remove(KeyValuePair<string, StringValues> item)
    {
        ThrowIfReadOnly();
        return All.Remove(item);
    }

    public void Clear()
    {
        ThrowIfReadOnly();
        All.Clear();
    }

    public IEnumerator<KeyValuePair<string, StringValues>> GetEnumerator() => All.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private void ThrowIfReadOnly()
    {
        if (IsReadOnly)
        {
            throw new InvalidOperationException("The response has begun: its headers can no longer be set.");
        }
    }
}
