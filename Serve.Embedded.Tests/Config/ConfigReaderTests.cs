using System.Text;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

public sealed class ConfigReaderTests
{
    private const string App = "[[applications]]\nimport_path = \"builtin:slow\"\n";
    private const string Deployment = App + "[[applications.deployments]]\nname = \"SlowDeployment\"\n";
    private const string Scaled = Deployment + "[applications.deployments.autoscaling_config]\n";
    private const string Worker = "[[applications]]\n[[applications.deployments]]\nname = \"w\"\ncommand = [\"a\"]\n";

    /// <summary>Input, and every line that an operator gets to see. A new key gets a line here.</summary>
    public static TheoryData<string, string> BadInputs { get; } = new()
    {
        // Not TOML: every line that is wrong, and nothing else.
        { "a = \n= 2\nb = 3", "config.toml:1:5: not TOML: unexpected token end-of-line found while expecting a value\nconfig.toml:2:1: not TOML: unexpected token [=] found" },
        { "a = \"x", "config.toml:1:6: not TOML: invalid End-Of-File found on string literal" },
        { "a = 99999999999999999999", "config.toml:1:5: not TOML: unable to parse integer `99999999999999999999`" },
        { "applications = []\napplications = []", "config.toml:2:1: applications is written twice; the first is on line 1" },
        { "applications = []\n[http_options]\nport = 1\n[http_options]\nhost = \"::\"", "config.toml:4:2: http_options is written twice; the first is on line 2" },

        // Nothing to serve.
        { "", "config.toml:1:1: no applications; the smallest file that serves is: [[applications]] import_path = \"builtin:echo\"; applications = [] starts with none" },
        { "[applications]\n", "config.toml:1:1: applications must be a list of at most 10000 tables, each written [[applications]], not a table" },
        { "applications = [1]", "config.toml:1:17: applications must be a list of at most 10000 tables, each written [[applications]], not a list with 1 in it" },

        // Unknown keys.
        { App + "import_pth = 1", "config.toml:3:1: unknown key import_pth in [[applications]]; did you mean 'import_path'?" },
        { "applications = []\nport = 1", "config.toml:2:1: unknown key port in the file's top level; it belongs to [http_options]" },
        { "applications = []\n[logging_config]\nlogs_dir = \"\"", "config.toml:3:1: unknown key logs_dir in [logging_config]; the keys here are encoding, log_level, enable_access_log" },
        { "applications = []\n[http_options]\nPort = 1", "config.toml:3:1: unknown key Port in [http_options]; did you mean 'port'?" },
        { Deployment + "ray_actor_options = {}", "config.toml:5:1: unknown key ray_actor_options in [[applications.deployments]]; the keys here are name, num_replicas, autoscaling_config, max_ongoing_requests, max_queued_requests, max_queue_wait_s, max_websockets, graceful_shutdown_timeout_s, graceful_shutdown_wait_loop_s, health_check_period_s, health_check_timeout_s, max_constructor_retry_count, rolling_update_percentage, rolling_update, num_cpus, memory_mb, weight, user_config, backpressure_config, command, runtime_env, health_check_path, reconfigure_path, startup_timeout_s, retry, max_requests_per_replica, max_replica_age_s, max_replica_rss_mb, nice, cpu_affinity, max_open_files, rlimits, memory_max_mb, cpu_max" },
        { Deployment + "min_replicas = 1", "config.toml:5:1: unknown key min_replicas in [[applications.deployments]]; it belongs to autoscaling_config" },
        { App + "\"a b\" = 1", "config.toml:3:1: unknown key \"a b\" in [[applications]]; the keys here are name, route_prefix, import_path, request_timeout_s, args, runtime_env, python, deployments" },

        // [http_options], [admin_options], [logging_config].
        { "applications = []\nhttp_options = 3", "config.toml:2:16: http_options must be a table, written [http_options], not 3" },
        { "applications = []\n[http_options]\nhost = \"\"", "config.toml:3:8: host must be an IP address or a host name, not \"\": it is empty" },
        { "applications = []\n[http_options]\nhost = \"*\"", "config.toml:3:8: host must be an IP address or a host name, not \"*\": write 0.0.0.0 or :: for all addresses" },
        { "applications = []\n[http_options]\nhost = \"127.0.0.1:80\"", "config.toml:3:8: host must be an IP address or a host name, not \"127.0.0.1:80\": it is no IPv6 address, and a port has a key of its own" },
        { "applications = []\n[http_options]\nhost = \"1.2.3\"", "config.toml:3:8: host must be an IP address or a host name, not \"1.2.3\": it is no IPv4 address" },
        { "applications = []\n[http_options]\nhost = \"[::]\"", "config.toml:3:8: host must be an IP address or a host name, not \"[::]\": write an IPv6 address without brackets" },
        { "applications = []\n[http_options]\nport = 70000", "config.toml:3:8: port must be an integer from 0 to 65535 (0 = any free port), not 70000" },
        { "applications = []\n[http_options]\nport = \"80\"", "config.toml:3:8: port must be an integer from 0 to 65535 (0 = any free port), not \"80\"" },
        { "applications = []\n[http_options]\nport = 80.0", "config.toml:3:8: port must be an integer from 0 to 65535 (0 = any free port), not 80.0" },
        { "applications = []\n[http_options]\nrequest_timeout_s = -1", "config.toml:3:21: request_timeout_s must be a number of seconds from 0.001 to 2592000, or 0 for none, not -1" },
        { "applications = []\n[http_options]\nstream_timeout_s = inf", "config.toml:3:20: stream_timeout_s must be a number of seconds from 0.001 to 2592000, or 0 for none, not inf" },
        { "applications = []\n[http_options]\nkeep_alive_timeout_s = 0", "config.toml:3:24: keep_alive_timeout_s must be a number of seconds from 0.001 to 2592000, not 0" },
        { "applications = []\n[http_options]\nmax_connections = 0", "config.toml:3:19: max_connections must be an integer from 1 to 1000000, not 0" },
        { "applications = []\n[http_options]\nmax_request_body_bytes = -1", "config.toml:3:26: max_request_body_bytes must be an integer from 0 to 1099511627776, not -1" },
        { "applications = []\n[http_options]\nshutdown_delay_s = nan", "config.toml:3:20: shutdown_delay_s must be a number of seconds from 0 to 3600, not nan" },
        { "applications = []\n[admin_options]\nport = -1\nhost = 1", "config.toml:3:8: port must be an integer from 0 to 65535 (0 = any free port), not -1\nconfig.toml:4:8: host must be an IP address or a host name, not 1" },
        { "applications = []\n[admin_options]\ntoken_file = \"\"", "config.toml:3:14: token_file must be a path, not \"\": it is empty" },
        { "applications = []\n[admin_options]\nallowed_hosts = \"box\"", "config.toml:3:17: allowed_hosts must be a list of at most 100 host names, not \"box\"" },
        { "applications = []\n[admin_options]\nallowed_hosts = [1, \"box\", \"*\"]", "config.toml:3:18: each of allowed_hosts must be an IP address or a host name, not 1\nconfig.toml:3:28: each of allowed_hosts must be an IP address or a host name, not \"*\": write 0.0.0.0 or :: for all addresses" },
        { "applications = []\n[controller_options]\nstate_dir = 1", "config.toml:3:13: state_dir must be a path, not 1" },
        { "applications = []\n[box]\nmax_replicas = 0\ncpus = 0\nmemory_mb = 0.5", "config.toml:3:16: max_replicas must be an integer from 1 to 1000000, not 0\nconfig.toml:4:8: cpus must be a number from 0.01 to 10000, not 0\nconfig.toml:5:13: memory_mb must be an integer from 1 to 16777216, not 0.5" },
        { "applications = []\n[logging_config]\nencoding = \"JSNO\"", "config.toml:3:12: encoding must be one of \"TEXT\", \"JSON\", not \"JSNO\"; did you mean 'JSON'?" },
        { "applications = []\n[logging_config]\nlog_level = \"warn\"", "config.toml:3:13: log_level must be one of \"TRACE\", \"DEBUG\", \"INFO\", \"WARNING\", \"ERROR\", \"CRITICAL\", not \"warn\"" },
        { "applications = []\n[logging_config]\nenable_access_log = 1", "config.toml:3:21: enable_access_log must be true or false, not 1" },

        // [[applications]].
        { "[[applications]]\nname = \"a\"", "config.toml:1:1: [[applications]] needs a key import_path, such as builtin:slow, or a deployment with a command" },
        { "applications = [ {} ]", "config.toml:1:18: [[applications]] needs a key import_path, such as builtin:slow, or a deployment with a command" },
        { App + "name = \"\"", "config.toml:3:8: name must be a name of ASCII letters, digits, '_', '-' and '.', at most 128 long, not \"\": it is empty" },
        { App + "name = \"a#b\"", "config.toml:3:8: name must be a name of ASCII letters, digits, '_', '-' and '.', at most 128 long, not \"a#b\": it has the character '#'" },
        { App + "route_prefix = \"a\"", "config.toml:3:16: route_prefix must be a path such as /, /a or /a/b, or \"\" (not exposed over HTTP), not \"a\": it does not begin with '/'" },
        { App + "route_prefix = \"/a/\"", "config.toml:3:16: route_prefix must be a path such as /, /a or /a/b, or \"\" (not exposed over HTTP), not \"/a/\": it ends with '/'" },
        { App + "route_prefix = \"/{a}\"", "config.toml:3:16: route_prefix must be a path such as /, /a or /a/b, or \"\" (not exposed over HTTP), not \"/{a}\": it has the character '{'" },
        { App + "route_prefix = \"/-/a\"", "config.toml:3:16: route_prefix must be a path such as /, /a or /a/b, or \"\" (not exposed over HTTP), not \"/-/a\": /-/ is where the server itself answers" },
        { App + "route_prefix = \"/a//b\"", "config.toml:3:16: route_prefix must be a path such as /, /a or /a/b, or \"\" (not exposed over HTTP), not \"/a//b\": it has an empty segment, '.' or '..', which no request's path has" },
        { App + "args = [1]", "config.toml:3:8: args must be a table, not a list" },
        { App + "args = { a = inf }", "config.toml:3:14: args must not hold inf: it is handed over as JSON, which has no such number" },
        { App + "request_timeout_s = true", "config.toml:3:21: request_timeout_s must be a number of seconds from 0.001 to 2592000, or 0 for none, not true" },
        // As Ray Serve's own examples have it, which this server cannot import: one error, that says what to write.
        {
            "[[applications]]\nimport_path = \"fruit.deployment_graph\"\nruntime_env = { working_dir = \"x\" }",
            "config.toml:2:15: import_path must be an import path such as builtin:slow, not \"fruit.deployment_graph\": it has no colon (a class of Python is python:FILE.CLASS)"
        },
        { "[[applications]]\nimport_path = \"slow\"", "config.toml:2:15: import_path must be an import path such as builtin:slow, not \"slow\": it has no colon" },
        { "[[applications]]\nimport_path = \"a:b:c\"", "config.toml:2:15: import_path must be an import path such as builtin:slow, not \"a:b:c\": it has more than one colon" },
        { "[[applications]]\nimport_path = \":b\"", "config.toml:2:15: import_path must be an import path such as builtin:slow, not \":b\": one side of the colon is empty" },
        { "[[applications]]\nimport_path = \"builtin:slwo\"", "config.toml:2:15: unknown import_path \"builtin:slwo\". Did you mean 'builtin:slow'? Known: builtin:echo, builtin:slow" },
        { App + "\n" + App, "config.toml:4:1: application name \"default\" is taken already on line 1, which is the default, as no name is written here\nconfig.toml:4:1: route_prefix \"/\" is taken already on line 1, which is the default, as no route_prefix is written here" },
        { App + "name = \"a\"\n" + App + "name = \"a\"\nroute_prefix = \"/b\"", "config.toml:6:8: application name \"a\" is taken already on line 3" },

        // [[applications.deployments]].
        { App + "[[applications.deployments]]", "config.toml:3:1: [[applications.deployments]] needs a key name: a name of ASCII letters, digits, '_', '-' and '.', at most 128 long" },
        { "[[applications]]\nimport_path = \"app:app\"", "config.toml:2:15: unknown import_path \"app:app\". Known: builtin:echo, builtin:slow. A class in a file of Python is written python:FILE.CLASS; any other program is a deployment with a command, in an application without an import_path" },
        { "[[applications]]\nimport_path = \"python:app.py\"", "config.toml:2:15: import_path names the file app.py and no class in it: write python:app.CLASS" },
        { "[[applications]]\nimport_path = \"python:app\"", "config.toml:2:15: import_path names no class: write python:app.CLASS for one in app.py" },
        { App + "deployments = [{ name = \"Slow\" }]", "config.toml:3:25: Deployment 'Slow' does not exist. Known: SlowDeployment" },
        { App + "deployments = [{ name = \"SlowDeploymnet\" }]", "config.toml:3:25: Deployment 'SlowDeploymnet' does not exist. Did you mean 'SlowDeployment'? Known: SlowDeployment" },
        { App + "deployments = [{ name = \"SlowDeployment\" },\n{ name = \"SlowDeployment\" }]", "config.toml:4:10: deployment name \"SlowDeployment\" is taken already on line 3" },
        { Deployment + "num_replicas = 0", "config.toml:5:16: num_replicas must be an integer from 1 to 10000, or \"auto\", not 0" },
        { Deployment + "num_replicas = \"atuo\"", "config.toml:5:16: num_replicas must be an integer from 1 to 10000, or \"auto\", not \"atuo\"; did you mean 'auto'?" },
        { Deployment + "num_replicas = 1.0", "config.toml:5:16: num_replicas must be an integer from 1 to 10000, or \"auto\", not 1.0" },
        { Deployment + "max_ongoing_requests = 0", "config.toml:5:24: max_ongoing_requests must be an integer from 1 to 1000000, not 0" },
        { Deployment + "max_queued_requests = -2", "config.toml:5:23: max_queued_requests must be an integer from -1 to 1000000 (0 = no queue, -1 = unlimited), not -2" },
        { Deployment + "max_queue_wait_s = 0", "config.toml:5:20: max_queue_wait_s must be a number of seconds from 0.001 to 2592000, not 0" },
        { Deployment + "max_websockets = -1", "config.toml:5:18: max_websockets must be an integer from 0 to 1000000, not -1" },
        { Deployment + "graceful_shutdown_timeout_s = -0.5", "config.toml:5:31: graceful_shutdown_timeout_s must be a number of seconds from 0 to 86400, not -0.5" },
        { Deployment + "graceful_shutdown_wait_loop_s = -1", "config.toml:5:33: graceful_shutdown_wait_loop_s must be a number of seconds from 0 to 86400, not -1" },
        { Deployment + "health_check_period_s = 0\nhealth_check_timeout_s = \"30\"", "config.toml:5:25: health_check_period_s must be a number of seconds from 0.001 to 2592000, not 0\nconfig.toml:6:26: health_check_timeout_s must be a number of seconds from 0.001 to 2592000, not \"30\"" },
        { Deployment + "max_constructor_retry_count = 0", "config.toml:5:31: max_constructor_retry_count must be an integer from 1 to 10000, not 0" },
        { Deployment + "rolling_update_percentage = 0\nrolling_update = \"stop_first\"", "config.toml:5:29: rolling_update_percentage must be a number from 0.001 to 1, not 0\nconfig.toml:6:18: rolling_update must be one of \"start_first\", \"replace\", not \"stop_first\"; did you mean 'start_first'?" },
        { Deployment + "rolling_update_percentage = 20", "config.toml:5:29: rolling_update_percentage must be a number from 0.001 to 1, not 20" },
        { Deployment + "num_cpus = -1\nmemory_mb = -1\nweight = 0", "config.toml:5:12: num_cpus must be a number from 0 to 10000, not -1\nconfig.toml:6:13: memory_mb must be an integer from 0 to 16777216, not -1\nconfig.toml:7:10: weight must be an integer from 1 to 1000, not 0" },

        // autoscaling_config.
        { Deployment + "autoscaling_config = true", "config.toml:5:22: autoscaling_config must be a table such as { min_replicas = 1, max_replicas = 10, target_ongoing_requests = 2.0 }, not true" },
        { Deployment + "[applications.deployments.autoscaling_config]\nmin_replicas = -1\ninitial_replicas = 0.5\nmax_replicas = 0", "config.toml:6:16: min_replicas must be an integer from 0 to 10000, not -1\nconfig.toml:7:20: initial_replicas must be an integer from 0 to 10000, not 0.5\nconfig.toml:8:16: max_replicas must be an integer from 1 to 10000, not 0" },
        { Scaled + "target_ongoing_requests = 0\nlook_back_period_s = 0\nmetrics_interval_s = 0", "config.toml:6:27: target_ongoing_requests must be a number from 0.001 to 1000000, not 0\nconfig.toml:7:22: look_back_period_s must be a number of seconds from 0.001 to 2592000, not 0\nconfig.toml:8:22: metrics_interval_s must be a number of seconds from 0.001 to 2592000, not 0" },
        { Scaled + "upscale_delay_s = -1\ndownscale_delay_s = nan\ndownscale_to_zero_delay_s = \"x\"", "config.toml:6:19: upscale_delay_s must be a number of seconds from 0 to 2592000, not -1\nconfig.toml:7:21: downscale_delay_s must be a number of seconds from 0 to 2592000, not nan\nconfig.toml:8:29: downscale_to_zero_delay_s must be a number of seconds from 0 to 2592000, not \"x\"" },
        { Scaled + "upscaling_factor = 0\ndownscaling_factor = 1001", "config.toml:6:20: upscaling_factor must be a number from 0.001 to 1000, not 0\nconfig.toml:7:22: downscaling_factor must be a number from 0.001 to 1000, not 1001" },
        { Scaled + "aggregation_function = \"avg\"\npolicy = {}", "config.toml:6:24: aggregation_function must be one of \"mean\", \"max\", \"min\", not \"avg\"\nconfig.toml:7:10: policy must be a name of ASCII letters, digits, '_', '-' and '.', at most 128 long, not a table" },
        { Scaled + "policy = \"queu\"", "config.toml:6:10: unknown policy \"queu\". Did you mean 'queue'? Known: queue" },
        { Scaled + "smoothing_factor = 1\nupscale_smoothing_factor = 1\ndownscale_smoothing_factor = 1", "config.toml:6:1: unknown key smoothing_factor in autoscaling_config; Ray Serve has given it up: write upscaling_factor and downscaling_factor\nconfig.toml:7:1: unknown key upscale_smoothing_factor in autoscaling_config; Ray Serve has given it up: write upscaling_factor\nconfig.toml:8:1: unknown key downscale_smoothing_factor in autoscaling_config; Ray Serve has given it up: write downscaling_factor" },
        { Scaled + "min_replicas = 2", "config.toml:6:16: min_replicas, 2, must not be more than 1, the default of max_replicas" },
        { Scaled + "min_replicas = 3\nmax_replicas = 2", "config.toml:6:16: min_replicas, 3, must not be more than max_replicas, 2" },
        { Scaled + "min_replicas = 2\nmax_replicas = 4\ninitial_replicas = 1", "config.toml:8:20: initial_replicas must be from min_replicas, 2, to max_replicas, 4, not 1" },
        { Scaled + "min_replicas = 2\nmax_replicas = 4\ninitial_replicas = 5", "config.toml:8:20: initial_replicas must be from min_replicas, 2, to max_replicas, 4, not 5" },
        { Deployment + "num_replicas = \"auto\"\nautoscaling_config = { min_replicas = 101 }", "config.toml:6:39: min_replicas, 101, must not be more than 100, the default of max_replicas" },
        { Deployment + "num_replicas = 2\nautoscaling_config = {}", "config.toml:5:16: num_replicas is a number, and autoscaling_config lets the load decide: leave one of them out, or write num_replicas = \"auto\"" },
        { Deployment + "user_config = { a = [1, nan], b = inf }", "config.toml:5:25: user_config must not hold nan: it is handed over as JSON, which has no such number\nconfig.toml:5:35: user_config must not hold inf: it is handed over as JSON, which has no such number" },
        { Deployment + "backpressure_config = 503", "config.toml:5:23: backpressure_config must be a table such as { status_code = 429, retry_after_s = 5.0 }, not 503" },
        { Deployment + "backpressure_config = { status_code = 500, retry_after_s = -1, colour = \"red\" }", "config.toml:5:39: status_code must be 503 or 429, not 500\nconfig.toml:5:60: retry_after_s must be a number from 0 to 86400, not -1\nconfig.toml:5:64: unknown key colour in backpressure_config; the keys here are status_code, retry_after_s" },

        // Workers.
        { Worker + "health_check_path = \"health\"\nreconfigure_path = \"/a b\"", "config.toml:5:21: health_check_path must be a path such as /health, not \"health\": it does not begin with '/'\nconfig.toml:6:20: reconfigure_path must be a path such as /reconfigure, not \"/a b\": it has the character ' '" },
        { Worker + "startup_timeout_s = 0\nretry = \"sometimes\"", "config.toml:5:21: startup_timeout_s must be a number of seconds from 0.001 to 2592000, not 0\nconfig.toml:6:9: retry must be one of \"idempotent\", \"never\", \"always\", not \"sometimes\"" },
        { Worker + "max_requests_per_replica = 0\nmax_replica_age_s = 0.5\nmax_replica_rss_mb = 0", "config.toml:5:28: max_requests_per_replica must be an integer from 1 to 2147483647, not 0\nconfig.toml:6:21: max_replica_age_s must be a number of seconds from 1 to 2592000, not 0.5\nconfig.toml:7:22: max_replica_rss_mb must be an integer from 1 to 16777216, not 0" },
        { Worker + "rlimits = { core_mb = -2, address_space_mb = 0.5, locked_memory_mb = true, processes = -2, cpu_s = 3 }\nmemory_max_mb = 0\ncpu_max = 0", "config.toml:5:23: core_mb must be an integer from -1 to 16777216 (-1 = unlimited), not -2\nconfig.toml:5:46: address_space_mb must be an integer from -1 to 16777216 (-1 = unlimited), not 0.5\nconfig.toml:5:70: locked_memory_mb must be an integer from -1 to 16777216 (-1 = unlimited), not true\nconfig.toml:5:88: processes must be an integer from -1 to 4194304 (-1 = unlimited), not -2\nconfig.toml:5:92: unknown key cpu_s in rlimits; the keys here are core_mb, address_space_mb, locked_memory_mb, processes\nconfig.toml:6:17: memory_max_mb must be an integer from 1 to 16777216, not 0\nconfig.toml:7:11: cpu_max must be a number from 0.01 to 10000, not 0" },
        { Worker + "nice = 20\ncpu_affinity = []\nmax_open_files = 1", "config.toml:5:8: nice must be an integer from -20 to 19, not 20\nconfig.toml:6:16: cpu_affinity must be a list of 1 to 1024 numbers of processors, not a list\nconfig.toml:7:18: max_open_files must be an integer from 16 to 1048576, not 1" },
        { Worker + "runtime_env = { working_dir = \"\", env_vars = { A = 1, \"B=\" = \"\" }, clear_env = 1 }", "config.toml:5:31: working_dir must be a path, not \"\": it is empty\nconfig.toml:5:52: env_vars.A must be a text, not 1\nconfig.toml:5:55: env_vars must not have a variable \"B=\": it has the character '='\nconfig.toml:5:80: clear_env must be true or false, not 1" },
        { Worker + "runtime_env = { env_vars = [] }", "config.toml:5:28: env_vars must be a table of at most 1000 texts, not a list" },
        { "[[applications]]\npython = \"\"\n[[applications.deployments]]\nname = \"w\"\ncommand = []", "config.toml:2:10: python must be a program, not \"\": it is empty\nconfig.toml:5:11: command must be a list of 1 to 1000 texts, a program and its arguments, not a list" },
        { "[[applications]]\n[[applications.deployments]]\nname = \"w\"\ncommand = [\"a\", 1]", "config.toml:4:17: each of command must be a text, not 1" },
        { "[[applications]]\n[[applications.deployments]]\nname = \"w\"", "config.toml:1:1: [[applications]] needs a key import_path, such as builtin:slow, or a deployment with a command" },
        { App + "[[applications.deployments]]\nname = \"SlowDeployment\"\ncommand = [\"a\"]", "config.toml:5:11: command is for an application without an import_path: take one of them out" },
        { Worker + "[[applications.deployments]]\nname = \"v\"", "config.toml:5:1: an application whose deployment has a command has this one only, since nothing could call another: give each an [[applications]] of its own" },
        { App + "python = \"python3\"\nruntime_env = {}\n[[applications.deployments]]\nname = \"SlowDeployment\"\nnice = 1", "config.toml:3:1: python is for workers, and import_path names code that is compiled in: take it out\nconfig.toml:4:1: runtime_env is for workers, and import_path names code that is compiled in: take it out\nconfig.toml:7:1: nice is for workers, and import_path names code that is compiled in: take it out" },

        // Places: after a multi-line string, CRLF, dotted keys and a table that is continued further down.
        { "a = '''\n\n'''\nb = 1\napplications = []", "config.toml:1:1: unknown key a in the file's top level; the keys here are http_options, admin_options, logging_config, controller_options, box, applications\nconfig.toml:4:1: unknown key b in the file's top level; the keys here are http_options, admin_options, logging_config, controller_options, box, applications" },
        { "applications = []\r\n[http_options]\r\nport = -1\r\n", "config.toml:3:8: port must be an integer from 0 to 65535 (0 = any free port), not -1" },
        { "applications = []\nhttp_options.prot = 1", "config.toml:2:14: unknown key prot in [http_options]; did you mean 'port'?" },
        { Deployment + "[http_options]\nport = 1\n[[applications.deployments]]\nnum_replicas = 2", "config.toml:7:1: [[applications.deployments]] needs a key name: a name of ASCII letters, digits, '_', '-' and '.', at most 128 long" },
        { "[http_options]\nport = -1\n\n[[applications]]\nname = 3\nimport_path = \"x\"", "config.toml:2:8: port must be an integer from 0 to 65535 (0 = any free port), not -1\nconfig.toml:5:8: name must be a name of ASCII letters, digits, '_', '-' and '.', at most 128 long, not 3\nconfig.toml:6:15: import_path must be an import path such as builtin:slow, not \"x\": it has no colon" },
    };

    [Theory]
    [MemberData(nameof(BadInputs))]
    public void ReadText_BadInput_TellsEveryError(string toml, string expected)
    {
        ConfigResult result = TestCatalog.Read(toml);

        Assert.False(result.IsValid);
        Assert.Equal(expected, TestCatalog.Lines(result));
    }

    [Fact]
    public void BadInputs_Always_HaveEveryKey()
    {
        string told = string.Join("\n", BadInputs.Select(row => row.Data.Item2));

        Assert.All(Leaves(ConfigKeys.Root.Keys), key => Assert.Contains($": {key.Name} must ", told, StringComparison.Ordinal));
    }

    [Fact]
    public void ReadText_SmallestFile_HasEveryDefault()
    {
        ServeConfig config = TestCatalog.ReadValid(App);

        Assert.Equal(new ServeConfig { Applications = [new ApplicationConfig { ImportPath = "builtin:slow" }] }, config);
        Assert.Equal(("default", "/"), (config.Applications[0].Name, config.Applications[0].RoutePrefix));
    }

    [Fact]
    public void ReadText_NoApplicationsOnPurpose_IsValid() => Assert.Empty(TestCatalog.ReadValid("applications = []").Applications);

    [Fact]
    public void ReadText_EveryKind_IsBound()
    {
        ServeConfig config = TestCatalog.ReadValid("""
            [http_options]
            host = "::1"
            request_timeout_s = 0
            stream_timeout_s = 0
            keep_alive_timeout_s = 1.5
            [logging_config]
            encoding = "json"
            log_level = "Warning"
            [[applications]]
            name = "a.b"
            import_path = "builtin:slow"
            route_prefix = ""
            request_timeout_s = 0
            [[applications.deployments]]
            name = "SlowDeployment"
            max_queued_requests = -1
            backpressure_config.retry_after_s = 7
            user_config.when = 1979-05-27T07:32:00Z
            user_config.list = [1, 2.0, "é\n", {x = true}]
            """);

        Assert.Equal("::1", config.Http.Host);
        Assert.Null(config.Http.RequestTimeout);
        Assert.Equal(Timeout.InfiniteTimeSpan, config.Http.StreamTimeout);
        Assert.Equal(TimeSpan.FromMilliseconds(1500), config.Http.KeepAliveTimeout);
        Assert.Equal(LogEncoding.Json, config.Logging.Encoding);
        Assert.Equal(LogLevel.Warning, config.Logging.Level);
        ApplicationConfig application = config.Applications[0];
        Assert.Null(application.RoutePrefix);
        Assert.Equal(Timeout.InfiniteTimeSpan, application.RequestTimeout);
        Assert.Equal(-1, application.Deployments[0].MaxQueuedRequests);
        Assert.Equal(new BackpressureConfig { RetryAfterS = 7 }, application.Deployments[0].Backpressure);
        Assert.Equal("""{"when":"1979-05-27T07:32:00Z","list":[1,2.0,"é\n",{"x":true}]}""", application.Deployments[0].UserConfig);
    }

    [Fact]
    public void ReadText_NotExposedApplications_MayBeMany() =>
        Assert.Equal(2, TestCatalog.ReadValid(App + "name=\"a\"\nroute_prefix = \"\"\n" + App + "route_prefix = \"\"").Applications.Count);

    [Fact]
    public void ReadText_Autoscaling_IsBound()
    {
        ServeConfig config = TestCatalog.ReadValid(Deployment + """
            num_replicas = "AUTO"
            rolling_update = "replace"
            [applications.deployments.autoscaling_config]
            min_replicas = 0
            max_replicas = 7
            downscale_to_zero_delay_s = 5
            aggregation_function = "max"
            policy = "queue"
            """);

        DeploymentConfig deployment = config.Applications[0].Deployments[0];
        Assert.Equal(ReplicaCount.Auto, deployment.NumReplicas);
        Assert.True(deployment.Replaces);
        Assert.Equal(
            new AutoscalingConfig { MinReplicas = 0, MaxReplicas = 7, DownscaleToZeroDelay = TimeSpan.FromSeconds(5), Aggregation = AggregationFunction.Max, Policy = "queue" },
            deployment.Autoscaling);
    }

    [Fact]
    public void ReadText_AutoscalingNotWrittenFurther_HasTheDefaultsOfRayServe() => Assert.Equal(
        (1, null, null, 2.0, 30.0, 30.0, 600.0, null, 1.0, 1.0),
        TestCatalog.ReadValid(Deployment + "autoscaling_config = {}").Applications[0].Deployments[0].Autoscaling is { } a
            ? (a.MinReplicas, a.InitialReplicas, a.MaxReplicas, a.TargetOngoingRequests, a.LookBackPeriod.TotalSeconds, a.UpscaleDelay.TotalSeconds, a.DownscaleDelay.TotalSeconds, a.DownscaleToZeroDelay, a.UpscalingFactor, a.DownscalingFactor)
            : default((int, int?, int?, double, double, double, double, TimeSpan?, double, double)));

    [Fact]
    public void ReadText_AutoWithoutBounds_MayInitiallyHaveUpToItsOwnMost() =>
        Assert.Equal(100, TestCatalog.ReadValid(Deployment + "num_replicas = \"auto\"\nautoscaling_config = { initial_replicas = 100 }").Applications[0].Deployments[0].Autoscaling!.InitialReplicas);

    [Fact]
    public void ReadText_KeysWithoutEffect_AreWarnedOfInTheOrderOfTheText()
    {
        ConfigResult result = TestCatalog.Read(Deployment + "autoscaling_config = { metrics_interval_s = 10 }\ngraceful_shutdown_wait_loop_s = 2.0");

        Assert.True(result.IsValid);
        Assert.Equal(
            [
                "config.toml:5:45: warning: metrics_interval_s has no effect here: the load is at hand, and each decision sees it as it is",
                "config.toml:6:33: warning: graceful_shutdown_wait_loop_s has no effect here: a replica stops as soon as it is idle",
            ],
            result.Warnings.Select(warning => warning.ToString()));
    }

    [Theory]
    [InlineData("--unix={sockt}", "{sockt} is given to the program as it is; did you mean {socket}?")]
    [InlineData("{PORT}", "{PORT} is given to the program as it is; did you mean {port}?")]
    [InlineData("{{port} {prot}", "{prot} is given to the program as it is; did you mean {port}?")]
    [InlineData("{socket}:{port}")]
    [InlineData("exec model --port ${PORT}")]
    [InlineData("{print $1} {host} {} {port")]
    public void ReadText_CommandWithAMarkThatIsNone_IsWarnedOfWhatWasMeant(string argument, params string[] warnings)
    {
        ConfigResult result = TestCatalog.Read($"[[applications]]\n[[applications.deployments]]\nname = \"w\"\ncommand = [\"a\", \"{argument}\"]\n");

        Assert.True(result.IsValid);
        Assert.Equal(warnings.Select(w => $"config.toml:4:17: warning: {w}"), result.Warnings.Select(w => w.ToString()));
    }

    [Fact]
    public void ReadText_ErrorsAndWarnings_AreToldApart()
    {
        ConfigResult result = TestCatalog.Read(Deployment + "graceful_shutdown_wait_loop_s = 2.0\nweight = 0");

        Assert.Equal("config.toml:6:10: weight must be an integer from 1 to 1000, not 0", Assert.Single(result.Errors).ToString());
        Assert.StartsWith("config.toml:5:33: warning: ", Assert.Single(result.Warnings).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void ReadText_ManyWarnings_SaysHowMany()
    {
        string toml = string.Concat(Enumerable.Range(0, ConfigErrors.MaxShown + 5).Select(i =>
            $"[[applications]]\nname = \"a{i}\"\nroute_prefix = \"/a{i}\"\nimport_path = \"builtin:echo\"\ndeployments = [{{ name = \"Echo\", graceful_shutdown_wait_loop_s = 1 }}]\n"));

        ConfigResult result = TestCatalog.Read(toml);

        Assert.True(result.IsValid);
        Assert.Equal(ConfigErrors.MaxShown + 1, result.Warnings.Count);
        Assert.Equal("config.toml: and 5 more warnings", result.Warnings[^1].ToString());
    }

    [Fact]
    public void ReadText_MoreErrorsThanShown_SaysHowMany()
    {
        StringBuilder toml = new("applications = []\n");
        for (int i = 0; i < 20_000; i++)
        {
            toml.Append("key").Append(i).Append(" = 1\n");
        }

        ConfigResult result = TestCatalog.Read(toml.ToString());

        Assert.Equal(ConfigErrors.MaxShown + 1, result.Errors.Count);
        Assert.Equal("config.toml: and 19900 more errors", result.Errors[^1].ToString());
    }

    [Fact]
    public void ReadText_TooManyApplications_IsRefusedOnce()
    {
        string toml = string.Concat(Enumerable.Range(0, ConfigKeys.MaxApplications + 1)
            .Select(i => $"[[applications]]\nname = \"a{i}\"\nroute_prefix = \"/a{i}\"\nimport_path = \"builtin:echo\"\n"));

        Assert.Equal("config.toml:40001:1: there may be at most 10000 applications, not 10001", TestCatalog.Lines(TestCatalog.Read(toml)));
    }

    [Fact]
    public void ReadText_LongValue_IsQuotedShort()
    {
        ConfigResult result = TestCatalog.Read($"applications = []\n[logging_config]\nencoding = \"{new string('x', 100_000)}\"");

        Assert.InRange(Assert.Single(result.Errors).ToString().Length, 1, 300);
    }

    [Fact]
    public void ReadJson_SameContent_IsTheSameConfiguration()
    {
        ConfigResult result = ConfigReader.ReadJson(
            """{"applications":[{"import_path":"builtin:slow","route_prefix":null,"deployments":[{"name":"SlowDeployment","num_replicas":2,"user_config":{"a":1}}]}]}"""u8,
            "body", TestCatalog.Builtin);

        Assert.Equal(TestCatalog.ReadValid(Deployment + "num_replicas = 2\nuser_config = { a = 1 }"), result.Config);
    }

    [Fact]
    public void ReadJson_BadInput_TellsEveryErrorWithItsPlace()
    {
        ConfigResult result = ConfigReader.ReadJson("{\n  \"http_options\": { \"port\": -1 },\n  \"applicatoins\": []\n}"u8, "body", TestCatalog.Builtin);

        Assert.Equal(
            """
            body:1:1: $: no applications; the smallest file that serves is: [[applications]] import_path = "builtin:echo"; applications = [] starts with none
            body:2:29: $.http_options.port: port must be an integer from 0 to 65535 (0 = any free port), not -1
            body:3:3: $.applicatoins: unknown key applicatoins in the file's top level; did you mean 'applications'?
            """, TestCatalog.Lines(result));
    }

    [Fact]
    public void ReadJson_BadInputDeepInside_TellsItsPath()
    {
        ConfigResult result = ConfigReader.ReadJson(
            """{"applications":[{"import_path":"builtin:slow"},{"name":"b","route_prefix":"/b","import_path":"builtin:slow","deployments":[{"name":"SlowDeployment","num_replicas":-1,"odd key":1}]}]}"""u8,
            "body", TestCatalog.Builtin);

        Assert.Equal(
            ["$.applications[1].deployments[0].num_replicas", "$.applications[1].deployments[0][\"odd key\"]"],
            result.Errors.Select(e => e.Path));
    }

    private static IEnumerable<ConfigKey> Leaves(IEnumerable<ConfigKey> keys) =>
        keys.SelectMany(key => key.Children.Count > 0 ? Leaves(key.Children) : [key]);

    [Fact]
    public void ReadText_StateDirBesideAnError_IsStillKnown()
    {
        ConfigResult result = TestCatalog.Read("[controller_options]\nstate_dir = \"/var/x\"\n[http_options]\nprot = 1\n");

        Assert.False(result.IsValid);
        Assert.Equal("/var/x", result.StateDir);
    }
}
