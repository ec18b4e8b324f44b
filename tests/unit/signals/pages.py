"""Pages of metrics for the tests."""

from codeblue.adapters.signals.series import Vocabulary
from codeblue.profile.signals import Names

VOCABULARY = Vocabulary(Names(), frozenset({"/api/health", "/metrics"}))

GOOD = """\
# HELP http_requests_total Answered HTTP requests
# TYPE http_requests_total counter
http_requests_total{method="GET",route="/api/version",status="200"} 90.0
http_requests_total{method="GET",route="(early)",status="500"} 7.0
http_requests_total{method="POST",route="/api/diagnostics",status="503"} 3.0
http_requests_total{method="GET",route="/api/health",status="200"} 4000.0
http_requests_total{method="GET",route="/api/health",status="503"} 50.0
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.5",method="GET",route="/api/version"} 80.0
http_request_duration_seconds_bucket{le="30.0",method="GET",route="/api/version"} 85.0
http_request_duration_seconds_bucket{le="60.0",method="GET",route="/api/version"} 90.0
http_request_duration_seconds_bucket{le="+Inf",method="GET",route="/api/version"} 90.0
http_request_duration_seconds_count{method="GET",route="/api/version"} 90.0
http_request_duration_seconds_sum{method="GET",route="/api/version"} 900.0
http_request_duration_seconds_bucket{le="0.5",method="GET",route="/api/health"} 4050.0
http_request_duration_seconds_bucket{le="30.0",method="GET",route="/api/health"} 4050.0
http_request_duration_seconds_bucket{le="60.0",method="GET",route="/api/health"} 4050.0
http_request_duration_seconds_bucket{le="+Inf",method="GET",route="/api/health"} 4050.0
# TYPE ai_requests_total counter
ai_requests_total{model="a"} 20.0
ai_requests_total{model="b"} 5.0
# TYPE ai_failures_total counter
ai_failures_total{reason="status"} 2.0
# TYPE service_memory_working_set_bytes gauge
service_memory_working_set_bytes 9.5e+07
# TYPE service_memory_limit_bytes gauge
service_memory_limit_bytes{source="cgroup"} 1.0e+08
# TYPE service_oom_kills_total gauge
service_oom_kills_total 1.0
# TYPE something_else gauge
something_else{path="C:\\\\dir\\"quoted\\"\\n"} NaN
"""


def without(name: str, page: str = GOOD) -> str:
    """The page without the lines that begin with a name."""
    return "".join(line for line in page.splitlines(keepends=True) if not line.startswith(name))


def changed(name: str, value: str, page: str = GOOD) -> str:
    """The page with the value of the first sample that begins with `name` replaced."""
    lines = page.splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith(name))
    lines[index] = f"{lines[index].rpartition(' ')[0]} {value}"
    return "\n".join([*lines, ""])
