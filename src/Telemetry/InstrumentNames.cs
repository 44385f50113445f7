namespace Serve.Embedded.Telemetry;

/// <summary>
/// The name of every instrument and what it is tagged with. Names are those that Ray Serve gives its own, so that what is made for these works here; where Ray Serve has none they are marked as ours.
/// Times are milliseconds, as there. None is tagged with a replica but for what a replica does now: replicas come and go, and each would leave a series behind.
/// </summary>
internal static class InstrumentNames
{
    /// <summary>Of the meter, and of the activity source.</summary>
    public const string Meter = "Serve.Embedded";

    // HTTP: route, method, application, status_code.
    public const string HttpRequests = "serve_num_http_requests";
    public const string HttpRequestLatency = "serve_http_request_latency_ms";

    /// <summary>Those that were answered with 400 or more; <c>error_code</c> in place of <c>status_code</c>.</summary>
    public const string HttpErrors = "serve_num_http_error_requests";

    // All from here on: application, deployment.
    public const string Arrived = "serve_num_router_requests";
    public const string Queued = "serve_deployment_queued_queries";
    public const string Completed = "serve_deployment_request_counter";
    public const string Failed = "serve_deployment_error_counter";

    /// <summary>Ours; by <see cref="ReasonTag"/>: <c>client_left</c>, <c>timed_out</c>.</summary>
    public const string Cancelled = "serve_num_cancelled_requests";

    /// <summary>Ours; by <see cref="ReasonTag"/>: <c>queue_full</c>, <c>queue_time</c>, <c>websockets</c>, <c>unavailable</c>.</summary>
    public const string Refused = "serve_num_refused_requests";

    /// <summary>By <see cref="ReplicaTag"/>.</summary>
    public const string Ongoing = "serve_replica_processing_queries";

    /// <summary>From arrival to a replica's permit.</summary>
    public const string QueueLatency = "serve_request_router_fulfillment_time_ms";

    /// <summary>From the permit until the handler has ended.</summary>
    public const string ProcessingLatency = "serve_deployment_processing_latency_ms";

    public const string BatchSize = "serve_actual_batch_size";

    /// <summary>Of a batch's first request.</summary>
    public const string BatchWait = "serve_batch_wait_time_ms";
    public const string BatchExecution = "serve_batch_execution_time_ms";

    public const string ReplicaStarts = "serve_deployment_replica_starts";
    public const string ReplicaStartupLatency = "serve_replica_startup_latency_ms";
    public const string HealthCheckFailures = "serve_health_check_failures";

    /// <summary>Ours; by <see cref="ReasonTag"/>: <c>died</c>, <c>unhealthy</c>, <c>worn_out</c>.</summary>
    public const string ReplicaRestarts = "serve_num_replica_restarts";

    /// <summary>Ours; by <see cref="StateTag"/>.</summary>
    public const string Replicas = "serve_num_replicas";

    /// <summary>By <see cref="ReplicaTag"/>.</summary>
    public const string HealthyReplicas = "serve_deployment_replica_healthy";

    /// <summary>Ours; by <see cref="ReplicaTag"/>.</summary>
    public const string ReplicaMemory = "serve_replica_resident_memory_bytes";

    /// <summary>Ours; of each replica.</summary>
    public const string MaxOngoing = "serve_deployment_max_ongoing_requests";

    /// <summary>Ours; of each caller.</summary>
    public const string MaxQueued = "serve_deployment_max_queued_requests";

    /// <summary>Replicas that it shall have now, whether its load says so or its configuration.</summary>
    public const string TargetReplicas = "serve_autoscaling_target_replicas";

    /// <summary>0 = unknown, 1 = DEPLOY_FAILED, 2 = UNHEALTHY, 3 = UPDATING, 4 = UPSCALING, 5 = DOWNSCALING, 6 = HEALTHY.</summary>
    public const string DeploymentStatus = "serve_deployment_status";

    /// <summary>Without <see cref="DeploymentTag"/>. 0 = unknown, 1 = DEPLOY_FAILED, 2 = UNHEALTHY, 3 = NOT_STARTED, 4 = DELETING, 5 = DEPLOYING, 6 = RUNNING.</summary>
    public const string ApplicationStatus = "serve_application_status";

    /// <summary>Ours, without any tag.</summary>
    public const string LogLinesDropped = "serve_log_lines_dropped";

    public const string ApplicationTag = "application";
    public const string DeploymentTag = "deployment";
    public const string ReplicaTag = "replica";
    public const string RouteTag = "route";
    public const string MethodTag = "method";
    public const string StatusCodeTag = "status_code";
    public const string ErrorCodeTag = "error_code";
    public const string ReasonTag = "reason";
    public const string StateTag = "state";
}
