using System.Text;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>Header values as text: nothing of their bytes is lost, and UTF-8 is read as such.</summary>
public sealed class HeaderEncodingTests
{
    [Theory]
    [InlineData("plain")]
    [InlineData("gr\u00fcezi \u6f22 \U0001F600")]
    [InlineData("")]
    public void GetString_Utf8_IsItsText(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);

        Assert.Equal(text, HeaderEncoding.Instance.GetString(bytes));
        Assert.Equal(bytes, HeaderEncoding.Instance.GetBytes(text));
    }

    [Fact]
    public void GetBytes_OfAnyBytesText_AreTheBytes()
    {
        Random random = new(7);
        for (int i = 0; i < 5_000; i++)
        {
            byte[] bytes = new byte[random.Next(12)];
            random.NextBytes(bytes);
            if (i % 2 == 0)
            {
                // Among what begins or continues a character, those that end too early are frequent.
                bytes = [.. bytes.Select(b => (byte)(0x80 | b)), .. "\u6f22"u8];
            }

            string text = HeaderEncoding.Instance.GetString(bytes);

            Assert.Equal(bytes, HeaderEncoding.Instance.GetBytes(text));
            Assert.Equal(bytes.Length, HeaderEncoding.Instance.GetByteCount(text));
            Assert.Equal(text.Length, HeaderEncoding.Instance.GetCharCount(bytes));
            Assert.Equal(text, HeaderEncoding.Instance.GetString(bytes, 0, bytes.Length));
            Assert.Equal(bytes, HeaderEncoding.Instance.GetBytes(text.ToCharArray()));
        }
    }

    [Fact]
    public void GetBytes_HalfACharacter_IsReplaced()
    {
        Assert.Equal([(byte)'a', 0xEF, 0xBF, 0xBD], HeaderEncoding.Instance.GetBytes("a\ud83d"));
        Assert.Equal([(byte)'a', 0xEF, 0xBF, 0xBD], HeaderEncoding.Instance.GetBytes("a\udfff"));
    }
}
