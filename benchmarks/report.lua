-- For wrk: one line that a script can read, and, where asked for by environment variables, requests to many applications or with pauses.
--   APPS=N      each request goes to the next of /app1 to /appN
--   PAUSE_MS=N  each connection waits between its requests
local apps = tonumber(os.getenv("APPS") or "")
local pause = tonumber(os.getenv("PAUSE_MS") or "")

if apps then
  local requests, next = {}, 0
  function init()
    for i = 1, apps do
      requests[i] = wrk.format("GET", "/app" .. i)
    end
  end
  function request()
    next = next % apps + 1
    return requests[next]
  end
end

if pause then
  function delay()
    return pause
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %.1f %.3f %.3f %d %d %d\n",
    summary.requests / (summary.duration / 1e6),
    latency:percentile(50) / 1000,
    latency:percentile(99) / 1000,
    summary.requests,
    errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
