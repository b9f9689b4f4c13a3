-- wrk: posts the body in the file BODY as TYPE, and writes what was measured to the file RESULT as JSON.
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = os.getenv("TYPE")
file:close()

function done(summary, latency)
  local errors = summary.errors
  local result = assert(io.open(os.getenv("RESULT"), "w"))
  result:write(string.format(
    '{"requests": %d, "seconds": %.3f, "failed": %d, "p50_ms": %.3f, "p99_ms": %.3f}',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
  result:close()
end
