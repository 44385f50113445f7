namespace Serve.Embedded.Tests.Guards;

/// <summary>The tests of Ray Serve that define its semantics, by number: forty, and ten more. Each has a test here that answers for it, or a reason why there is none.</summary>
internal static class ContractRows
{
    private const string NoGrpc = "there is no gRPC proxy";

    public static IReadOnlyList<ContractRow> All { get; } =
    [
        new(1, "test_handle_backpressure"),
        new(2, "test_http_backpressure[default_503]"),
        new(3, "test_http_backpressure[429_with_retry_after]"),
        new(4, "test_model_composition_backpressure"),
        new(5, "test_model_composition_backpressure_with_fastapi[async, sync]"),
        new(6, "test_grpc_backpressure", NoGrpc),
        new(7, "test_max_queued_requests_no_limit"),
        new(8, "test_max_queued_requests_limited"),
        new(9, "test_max_queued_requests_updated"),
        new(10, "test_retry_with_rejection", "a request has a replica's permit before it is sent, so no replica refuses one and there is no cache of lengths"),
        new(11, "test_replica_actor_died, test_replica_actor_unavailable"),
        new(12, "the estimator and the jitter of test_backpressure_retry_after.py"),
        new(13, "test_no_replicas_available_then_one_available"),
        new(14, "test_two_replicas_choose_shorter_queue"),
        new(15, "test_replica_does_not_accept_then_accepts, test_no_replicas_accept_then_new_one_accepts"),
        new(16, "test_tasks_routed_fifo, test_retried_tasks_routed_fifo"),
        new(17, "test_cancellation, test_cancellation_when_replicas_maxed, test_routing_task_cap"),
        new(18, "test_request_hangs_in_execution, …_in_assignment, test_cancel_on_http_timeout_during_execution, …_assignment, test_request_timeout_does_not_leak_tasks"),
        new(19, "test_streaming_request_already_sent_and_timed_out"),
        new(20, "test_timeout_error_in_child_deployment_of_fastapi"),
        new(21, "test_cancel_on_http_client_disconnect_during_execution, …_assignment"),
        new(22, "test_only_relevant_task_is_cancelled, test_out_of_band_task_is_not_cancelled"),
        new(23, "test_deploy_with_consistent_constructor_failure"),
        new(24, "test_deploy_with_partial_constructor_failure, …_transient_…"),
        new(25, "test_nonconsecutive_failures, test_consecutive_failures"),
        new(26, "test_user_defined_method_hangs, test_no_user_defined_method, test_multiple_replicas, test_health_check_failure_makes_deployment_unhealthy"),
        new(27, "test_new_version_deploy_throttling_new"),
        new(28, "test_rolling_update_percentage_configurable"),
        new(29, "test_new_version_and_scale_down, …_up"),
        new(30, "test_deploy_new_config_same_code_version"),
        new(31, "test_redeploy_different_num_replicas"),
        new(32, "test_force_kill"),
        new(33, "test_failed_rolling_update_keeps_serving_from_old_replicas"),
        new(34, "test_rolling_update_chain_with_rollback"),
        new(35, "test_sparse_config_rollback_restores_code_defined_options"),
        new(36, "test_change_route_prefix, test_deploy_one_app_failed"),
        new(37, "test_path_validation, test_path_prefixing_1, test_routes_healthz, test_routes_endpoint, test_default_error_handling, test_not_found_response"),
        new(38, "test_request_id_header_by_default, TestUserProvidedRequestIDHeader, test_reuse_request_id"),
        new(39, "test_grpc.py", NoGrpc),
        new(40, "TestReplicaQueueLengthPolicy, _run_upscale_downscale_flow"),
        new(41, "test_batching.py: validation; 9 wait, then the 10th"),
        new(42, "test_batching.py: cancelled in a batch, after an error"),
        new(43, "test_multiplex_wrapper, test_load_models_concurrently, test_multiplexed_e2e, test_multiplexed_multiple_replicas"),
        new(44, "test_exception_in_generator, test_http_disconnect"),
        new(45, "test_recover_rolling_update_from_replica_actor_names"),
        new(46, "test_serve_graceful_shutdown"),
        new(47, "test_websockets.py: server and client close"),
        new(48, "TestDetermineAppStatus"),
        new(49, "test_shutdown (idempotent)"),
        new(50, "test_broadcast_stateful"),
    ];

    /// <summary>What a client can see over HTTP: these hold for every form of the server, by the same tests.</summary>
    public static IReadOnlyList<int> OfEveryForm { get; } = [1, 2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 30, 31, 33, 34, 35, 36, 37, 38, 41, 42, 43, 44, 46, 47, 50];
}

/// <param name="Number">How tests name it.</param>
/// <param name="RaysTests">Ray Serve's names of it.</param>
/// <param name="WhyNot">Why it does not apply; <see langword="null"/> = it does.</param>
internal sealed record ContractRow(int Number, string RaysTests, string? WhyNot = null);
