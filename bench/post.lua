-- The request that every contender gets. Prints the figures of a run as one line of
-- JSON.
wrk.method = "POST"
wrk.body = '{"payload":"hello world","description":"uppercase"}'
wrk.headers["Content-Type"] = "application/json"

local figures = '{"requests":%d,"seconds":%f,"failed":%d,"p50":%f,"p95":%f,"p99":%f}\n'

function done(summary, latency)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write
        + errors.status + errors.timeout
    io.write(string.format(
        figures,
        summary.requests,
        summary.duration / 1e6,
        failed,
        latency:percentile(50) / 1e3,
        latency:percentile(95) / 1e3,
        latency:percentile(99) / 1e3
    ))
end
