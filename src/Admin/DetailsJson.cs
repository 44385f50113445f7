using System.Text.Json;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Handles;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Admin;

/// <summary>
/// The details document in Ray Serve's shape. Ray's own client refuses a document with a member that it does not know, so what is ours (the counts of this instant as <c>requests</c>, notices and more) is in it
/// for those alone who ask for it.
/// </summary>
/// <param name="json">Where it goes.</param>
/// <param name="withOurs">Whether what Ray's shape has no place for is in it.</param>
internal sealed class DetailsJson(Utf8JsonWriter json, bool withOurs)
{
    /// <summary>What Ray calls the machine that a part runs on: here all of them run on one.</summary>
    private const string Node = "head";

    public void Write(AdminView view, bool withApplications)
    {
        json.WriteStartObject();
        json.WriteStartObject("controller_info");
        json.WriteString("node_id", Node);
        json.WriteNumber("pid", Environment.ProcessId);
        json.WriteEndObject();
        json.WriteString("deploy_mode", "MULTI_APP");
        json.WriteString("proxy_location", "HeadOnly");
        json.WriteStartObject("http_options");
        json.WriteString("host", view.InForce.Http.Host);
        json.WriteNumber("port", view.InForce.Http.Port);
        WriteSeconds("request_timeout_s", view.InForce.Http.RequestTimeout);
        // Ray has whole seconds.
        json.WriteNumber("keep_alive_timeout_s", withOurs ? view.InForce.Http.KeepAliveTimeout.TotalSeconds : Math.Ceiling(view.InForce.Http.KeepAliveTimeout.TotalSeconds));
        json.WriteEndObject();
        json.WriteNull("grpc_options");
        json.WriteStartObject("proxies");
        json.WriteStartObject(Node);
        json.WriteString("node_id", Node);
        json.WriteString("status", view.IsDraining ? "DRAINING" : "HEALTHY");
        json.WriteNumber("connections", view.Connections);
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartObject("applications");
        foreach (ApplicationReport application in withApplications ? view.Status.Applications : [])
        {
            Write(application);
        }

        json.WriteEndObject();
        json.WriteNull("target_capacity");
        json.WriteStartArray("target_groups");
        json.WriteEndArray();
        if (withOurs)
        {
            WriteOurs(view);
        }

        json.WriteEndObject();
    }

    private void WriteOurs(AdminView view)
    {
        json.WriteStartObject("server");
        json.WriteString("version", AdminJson.ServerVersion);
        json.WriteNumber("start_time_s", view.StartedAt.ToUnixTimeMilliseconds() / 1000.0);
        json.WriteNumber("now_s", view.Now.ToUnixTimeMilliseconds() / 1000.0);
        json.WriteEndObject();
        WriteBox(view.Status.Box);
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
    }

    /// <summary>What replicas may take by <c>[box]</c> and what they declare; a limit of null is none.</summary>
    private void WriteBox(BoxReport? box)
    {
        if (box is null)
        {
            return;
        }

        json.WriteStartObject("box");
        WriteShare("cpus", box.Taken.MilliCpus, box.Limit.MilliCpus, 1000);
        WriteShare("memory_mb", box.Taken.MemoryMb, box.Limit.MemoryMb, 1);
        WriteShare("replicas", box.Taken.Replicas, box.Limit.Replicas, 1);
        json.WriteEndObject();
    }

    private void WriteShare(string name, double taken, long limit, int parts)
    {
        json.WriteStartObject(name);
        json.WriteNumber("taken", taken / parts);
        if (limit < long.MaxValue)
        {
            json.WriteNumber("limit", (double)limit / parts);
        }
        else
        {
            json.WriteNull("limit");
        }

        json.WriteEndObject();
    }

    private void Write(ApplicationReport application)
    {
        json.WriteStartObject(application.Name);
        json.WriteString("name", application.Name);
        json.WriteString("route_prefix", application.RoutePrefix);
        if (withOurs)
        {
            json.WriteString("import_path", application.ImportPath);
        }

        json.WriteString("status", RayShape.Word(application.Status.ToString()));
        json.WriteString("message", application.Message);
        json.WriteNumber("last_deployed_time_s", application.DeployedAt.ToUnixTimeMilliseconds() / 1000.0);
        json.WriteString("source", "declarative");
        json.WriteBoolean("external_scaler_enabled", false);
        json.WriteNull("docs_path");
        json.WritePropertyName("deployed_app_config");
        if (application.Running is { } running && (withOurs || RayShape.Holds(running)))
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
            Write(deployment);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    private void Write(DeploymentReport deployment)
    {
        json.WriteStartObject(deployment.Goal.Name);
        json.WriteString("name", deployment.Goal.Name);
        json.WriteString("status", RayShape.Word(deployment.Status.ToString()));
        json.WriteString("status_trigger", withOurs ? RayShape.Word(deployment.Trigger.ToString()) : RayShape.TriggerOf(deployment.Trigger));

        // Ours has a place of its own for it.
        json.WriteString("message", !withOurs && deployment.Message.Length == 0 ? deployment.HeldBack ?? string.Empty : deployment.Message);
        json.WriteNumber("target_num_replicas", deployment.NumReplicas);
        json.WriteStartObject("required_resources");
        json.WriteNumber("CPU", deployment.Goal.NumCpus ?? 0);
        json.WriteEndObject();
        json.WriteStartObject("deployment_config");
        json.WriteString("name", deployment.Goal.Name);
        WriteScale(deployment.Goal);
        json.WriteNumber("max_ongoing_requests", deployment.Goal.MaxOngoingRequests);
        if (withOurs || RayShape.HoldsQueue(deployment.Goal.MaxQueuedRequests))
        {
            json.WriteNumber("max_queued_requests", deployment.Goal.MaxQueuedRequests);
        }

        WriteSeconds("max_queue_wait_s", deployment.Goal.MaxQueueWait);
        WriteNumber("max_websockets", deployment.Goal.MaxWebsockets);
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
        json.WriteStartArray("replicas");
        foreach (Replica replica in deployment.Replicas)
        {
            Write(replica);
        }

        json.WriteEndArray();
        if (withOurs)
        {
            WriteOurs(deployment);
        }

        json.WriteEndObject();
    }

    private void Write(Replica replica)
    {
        json.WriteStartObject();
        json.WriteString("replica_id", replica.Id);
        json.WriteString("node_id", Node);
        json.WriteNumber("rank", replica.Rank);
        json.WriteString("state", withOurs ? RayShape.Word(replica.State.ToString()) : RayShape.StateOf(replica.State));
        json.WriteNumber("pid", replica.Process?.ProcessId ?? Environment.ProcessId);
        json.WriteNumber("start_time_s", replica.StartedAt.ToUnixTimeMilliseconds() / 1000.0);
        json.WriteNumber("ongoing_requests", replica.Permits.Ongoing);
        json.WriteNumber("websockets", replica.Upgrades.Count);
        json.WriteNumber("threads", replica.ThreadCount);
        if (withOurs && replica.Process is { } process)
        {
            WriteNumber("rss_bytes", process.ResidentBytes);
        }

        json.WriteEndObject();
    }

    private void WriteOurs(DeploymentReport deployment)
    {
        json.WriteStartArray("log_tail");
        foreach (string line in deployment.LogTail)
        {
            json.WriteStringValue(line);
        }

        json.WriteEndArray();
        json.WriteString("held_back", deployment.HeldBack);
        json.WriteNumber("restarts", deployment.Restarts);
        WriteRequests(deployment.Served.Gate);
        json.WriteStartObject("replica_states");
        foreach (IGrouping<ReplicaState, Replica> state in deployment.Replicas.GroupBy(r => r.State))
        {
            json.WriteNumber(RayShape.Word(state.Key.ToString()), state.Count());
        }

        if (deployment.Abandoned > 0)
        {
            json.WriteNumber(RayShape.Word(nameof(ReplicaState.Abandoned)), deployment.Abandoned);
        }

        json.WriteEndObject();
    }

    /// <summary>Ray Serve has either a number or what the load may make of it.</summary>
    private void WriteScale(DeploymentGoal goal)
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

    private void WriteRequests(AdmissionGate gate)
    {
        RequestTotals totals = gate.Totals;
        json.WriteStartObject("requests");
        json.WriteNumber("ongoing", gate.Replicas.Sum(r => r.Permits.Ongoing));
        json.WriteNumber("queued", gate.InOrder);
        json.WriteNumber("arrived", totals.Arrived);
        json.WriteNumber("started", totals.Started);
        json.WriteNumber("shed", totals.Shed);
        json.WriteStartObject("refused");
        json.WriteNumber("queue_full", totals.Refused.QueueFull);
        json.WriteNumber("queue_time", totals.Refused.QueueTime);
        json.WriteNumber("websockets", totals.Refused.Websockets);
        json.WriteNumber("unavailable", totals.Refused.Unavailable);
        json.WriteEndObject();
        json.WriteNumber("completed", totals.Completed);
        json.WriteNumber("failed", totals.Failed);
        json.WriteNumber("cancelled", totals.Cancelled);
        json.WriteNumber("timed_out", totals.TimedOut);
        json.WriteEndObject();
    }

    private void WriteNumber(string name, long? number)
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

    private void WriteSeconds(string name, TimeSpan? time)
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
}
