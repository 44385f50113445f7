using System.Text.Json;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Admin;

/// <summary>The details document in Ray Serve's shape, with the counts of this instant added as <c>requests</c>.</summary>
internal static class DetailsJson
{
    public static void Write(Utf8JsonWriter json, AdminView view, bool withApplications)
    {
        json.WriteStartObject();
        json.WriteStartObject("controller_info");
        json.WriteNumber("pid", Environment.ProcessId);
        json.WriteEndObject();
        json.WriteString("deploy_mode", "MULTI_APP");
        json.WriteString("proxy_location", "HeadOnly");
        json.WriteStartObject("http_options");
        json.WriteString("host", view.InForce.Http.Host);
        json.WriteNumber("port", view.InForce.Http.Port);
        WriteSeconds(json, "request_timeout_s", view.InForce.Http.RequestTimeout);
        json.WriteNumber("keep_alive_timeout_s", view.InForce.Http.KeepAliveTimeout.TotalSeconds);
        json.WriteEndObject();
        json.WriteStartObject("proxies");
        json.WriteStartObject("head");
        json.WriteString("status", view.IsDraining ? "DRAINING" : "HEALTHY");
        json.WriteNumber("connections", view.Connections);
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartObject("applications");
        foreach (ApplicationReport application in withApplications ? view.Status.Applications : [])
        {
            Write(json, application);
        }

        json.WriteEndObject();
        json.WriteNull("target_capacity");
        json.WriteStartArray("target_groups");
        json.WriteEndArray();
        json.WriteStartArray("notices");
        foreach (string notice in view.Notices)
        {
            json.WriteStringValue(notice);
        }

        json.WriteEndArray();
        if (view.Generation is { } generation)
        {
            json.WriteStartObject("generation");
            json.WriteNumber("number", generation.Number);
            json.WriteString("outcome", GenerationText.Word(generation.Outcome));
            json.WriteEndObject();
        }
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, ApplicationReport application)
    {
        json.WriteStartObject(application.Name);
        json.WriteString("name", application.Name);
        json.WriteString("route_prefix", application.RoutePrefix);
        json.WriteString("import_path", application.ImportPath);
        json.WriteString("status", Ray(application.Status.ToString()));
        json.WriteString("message", application.Message);
        json.WriteNumber("last_deployed_time_s", application.DeployedAt.ToUnixTimeMilliseconds() / 1000.0);
        json.WriteString("source", "declarative");
        json.WriteNull("docs_path");
        json.WritePropertyName("deployed_app_config");
        if (application.Running is { } running)
        {
            json.WriteRawValue(ConfigWriter.ToJson(running));
        }
        else
        {
            json.WriteNullValue();
        }

        json.WriteStartObject("deployments");
        foreach (DeploymentReport deployment in application.Deployments)
        {
            Write(json, deployment);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, DeploymentReport deployment)
    {
        json.WriteStartObject(deployment.Goal.Name);
        json.WriteString("name", deployment.Goal.Name);
        json.WriteString("status", Ray(deployment.Status.ToString()));
        json.WriteString("status_trigger", Ray(deployment.Trigger.ToString()));
        json.WriteString("message", deployment.Message);
        json.WriteStartArray("log_tail");
        foreach (string line in deployment.LogTail)
        {
            json.WriteStringValue(line);
        }

        json.WriteEndArray();
        json.WriteNumber("target_num_replicas", deployment.NumReplicas);
        json.WriteString("held_back", deployment.HeldBack);
        json.WriteStartObject("deployment_config");
        WriteScale(json, deployment.Goal);
        json.WriteNumber("max_ongoing_requests", deployment.Goal.MaxOngoingRequests);
        json.WriteNumber("max_queued_requests", deployment.Goal.MaxQueuedRequests);
        WriteSeconds(json, "max_queue_wait_s", deployment.Goal.MaxQueueWait);
        WriteNumber(json, "max_websockets", deployment.Goal.MaxWebsockets);
        json.WriteNumber("graceful_shutdown_timeout_s", deployment.Goal.GracefulShutdownTimeout.TotalSeconds);
        json.WritePropertyName("user_config");
        if (deployment.Goal.UserConfig is { } userConfig)
        {
            json.WriteRawValue(userConfig);
        }
        else
        {
            json.WriteNullValue();
        }

        json.WriteEndObject();
        WriteRequests(json, deployment.Served.Gate);
        json.WriteStartObject("replica_states");
        foreach (IGrouping<ReplicaState, Replica> state in deployment.Replicas.GroupBy(r => r.State))
        {
            json.WriteNumber(Ray(state.Key.ToString()), state.Count());
        }

        if (deployment.Abandoned > 0)
        {
            json.WriteNumber(Ray(nameof(ReplicaState.Abandoned)), deployment.Abandoned);
        }

        json.WriteEndObject();
        json.WriteStartArray("replicas");
        foreach (Replica replica in deployment.Replicas)
        {
            json.WriteStartObject();
            json.WriteString("replica_id", replica.Id);
            json.WriteNumber("rank", replica.Rank);
            json.WriteString("state", Ray(replica.State.ToString()));
            json.WriteNumber("pid", replica.Process?.ProcessId ?? Environment.ProcessId);
            json.WriteNumber("ongoing_requests", replica.Permits.Ongoing);
            json.WriteNumber("websockets", replica.Upgrades.Count);
            json.WriteNumber("threads", replica.ThreadCount);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>Ray Serve has either a number or what the load may make of it.</summary>
    private static void WriteScale(Utf8JsonWriter json, DeploymentGoal goal)
    {
        if (goal.Autoscaling is not { } scaling)
        {
            json.WriteNumber("num_replicas", goal.NumReplicas);
            return;
        }

        json.WriteStartObject("autoscaling_config");
        json.WriteNumber("min_replicas", scaling.MinReplicas);
        json.WriteNumber("max_replicas", scaling.MaxReplicas);
        json.WriteNumber("target_ongoing_requests", scaling.TargetOngoingRequests);
        json.WriteNumber("look_back_period_s", scaling.LookBackPeriod.TotalSeconds);
        json.WriteNumber("upscale_delay_s", scaling.UpscaleDelay.TotalSeconds);
        json.WriteNumber("downscale_delay_s", scaling.DownscaleDelay.TotalSeconds);
        json.WriteNumber("downscale_to_zero_delay_s", scaling.DownscaleToZeroDelay.TotalSeconds);
        json.WriteNumber("upscaling_factor", scaling.UpscalingFactor);
        json.WriteNumber("downscaling_factor", scaling.DownscalingFactor);
        json.WriteEndObject();
    }

    private static void WriteRequests(Utf8JsonWriter json, AdmissionGate gate)
    {
        RequestTotals totals = gate.Totals;
        json.WriteStartObject("requests");
        json.WriteNumber("ongoing", gate.Replicas.Sum(r => r.Permits.Ongoing));
        json.WriteNumber("queued", gate.Waiting);
        json.WriteNumber("arrived", totals.Arrived);
        json.WriteNumber("shed", totals.Shed);
        json.WriteNumber("completed", totals.Completed);
        json.WriteNumber("failed", totals.Failed);
        json.WriteNumber("cancelled", totals.Cancelled);
        json.WriteNumber("timed_out", totals.TimedOut);
        json.WriteEndObject();
    }

    private static void WriteNumber(Utf8JsonWriter json, string name, int? number)
    {
        if (number is { } set)
        {
            json.WriteNumber(name, set);
        }
        else
        {
            json.WriteNull(name);
        }
    }

    private static void WriteSeconds(Utf8JsonWriter json, string name, TimeSpan? time)
    {
        if (time is { Ticks: > 0 } set)
        {
            json.WriteNumber(name, set.TotalSeconds);
        }
        else
        {
            json.WriteNull(name);
        }
    }

    /// <summary>Our names as Ray writes them: <c>DeployFailed</c> is <c>DEPLOY_FAILED</c>.</summary>
    private static string Ray(string name) => JsonNamingPolicy.SnakeCaseUpper.ConvertName(name);
}
