using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class SentencesTests
{
    [Theory]
    [InlineData("")]
    [InlineData("alone", "alone")]
    [InlineData("No module named 'starlette'. Held back.", "No module named 'starlette'", null, "", "Held back.")]
    [InlineData("It is so. Or (is it?) \"No.\" One: two. three", "It is so.", "Or (is it?)", "\"No.\"", "One:", "two", "three")]
    [InlineData("Traceback:\n  line 1\nHeld back.", "Traceback:\n  line 1", "Held back.")]
    public void Join_WhateverTheirEnds_NoneRunsIntoTheNext(string joined, params string?[] texts) => Assert.Equal(joined, Sentences.Join(texts));
}
