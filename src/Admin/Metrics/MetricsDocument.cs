using System.Diagnostics.Metrics;
using System.IO.Pipelines;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Admin.Metrics;

/// <summary>Everything that is measured, as Prometheus reads it: the instruments of the server, what it is as a whole, and its process.</summary>
internal sealed class MetricsDocument(PipeWriter output)
{
    private readonly PrometheusText _text = new(output);

    /// <summary>Written and sent family by family: nothing of the server is held while a slow reader takes it.</summary>
    public async Task WriteAsync(ServeTelemetry telemetry, AdminView view)
    {
        telemetry.StartTiming();
        foreach (MetricFamily family in telemetry.Families)
        {
            await (family switch
            {
                NumberFamily numbers => WriteAsync(numbers),
                HistogramFamily histograms => WriteAsync(histograms),
                _ => throw new InvalidOperationException($"'{family.Name}' is of no known kind."),
            });
        }

        Write(view);
        ProcessFigures.Write(_text);
        await _text.FlushAsync(always: true);
    }

    private async Task WriteAsync(NumberFamily family)
    {
        string name = family.IsCounter ? $"{family.Name}_total" : family.Name;
        bool isFirst = true;
        foreach (Measurement<long> measurement in family.Read())
        {
            if (isFirst)
            {
                _text.Family(name, family.IsCounter ? "counter" : "gauge", family.Description);
                isFirst = false;
            }

            _text.Sample(name, measurement.Tags, measurement.Value);
            await _text.FlushAsync();
            if (_text.IsOver)
            {
                return;
            }
        }
    }

    private async Task WriteAsync(HistogramFamily family)
    {
        bool isFirst = true;
        foreach ((KeyValuePair<string, object?>[] tags, StripedHistogram histogram) in family.Read())
        {
            if (isFirst)
            {
                _text.Family(family.Name, "histogram", family.Description);
                isFirst = false;
            }

            _text.Histogram(family.Name, tags, histogram);
            await _text.FlushAsync();
            if (_text.IsOver)
            {
                return;
            }
        }
    }

    private void Write(AdminView view)
    {
        _text.Family("serve_build_info", "gauge", "1, with the server's version.");
        _text.Sample("serve_build_info", [new("version", AdminJson.ServerVersion)], 1);
        Gauge("serve_proxy_status", "The data port's status: 2 HEALTHY, 4 DRAINING.", view.IsDraining ? 4 : 2);
        Gauge("serve_num_http_connections", "Connections on the data port.", view.Connections);
        Gauge("serve_max_http_connections", "Connections that the data port may have.", view.InForce.Http.MaxConnections);
        Gauge("serve_num_ongoing_http_requests", "Requests that the connections of the data port are busy with.", view.BusyConnections);
        if (view.Generation is { } generation)
        {
            Gauge("serve_generation", "The number of the goal that was accepted last.", generation.Number);
        }

        Gauge("serve_config_last_reload_successful", "Whether the goal that was asked for last came up: 0 if it did not, or if its file had errors.", view.Reload.IsGood ? 1 : 0);
        if (view.Reload.LastGoodAt is { } at)
        {
            Gauge("serve_config_last_reload_success_timestamp_seconds", "When a goal last came up, since 1970.", at.ToUnixTimeMilliseconds() / 1000.0);
        }

        Gauge("serve_num_notices", "Things that an operator should know before anything else; serve status has them in words.", view.Notices.Count);
    }

    private void Gauge(string name, string help, double value)
    {
        _text.Family(name, "gauge", help);
        _text.Sample(name, value);
    }
}
