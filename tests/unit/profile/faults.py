"""Faulty profiles with the place, the message and the remedy that each must be answered with.

`FAULTS` is what the tests of the loader and of the command line go through. `Fault.write(directory)` puts the
faulty file there and returns its path; `line` 0 means that there is no place in a file to point to.
"""

# ruff: noqa: E501  (one fault is one row)

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HEAD = "version: 1\nservice: ai-diagnostics-api\n"
LOCAL = HEAD + "platform:\n  kind: local\n  directory: ./local\n"
CLUSTER = HEAD + (
    "platform:\n"
    "  kind: kubernetes\n"
    "  context: prod-eu\n"
    "  namespace: ai-diagnostics-prod\n"
    "  deployment: ai-diagnostics-api\n"
)  # 7 lines; LOCAL has 5


@dataclass(frozen=True)
class Fault:
    """One faulty profile.

    Attributes:
        id: its name in test reports.
        text: the file's content; None where `setup` makes something else of the path.
        line: expected line of the problem, 0 for none.
        message, remedy: regular expressions that the problem's path and message, and its remedy, must match.
    """

    id: str
    text: str | bytes | None
    line: int
    message: str
    remedy: str
    setup: Callable[[Path], None] | None = None

    def write(self, directory: Path) -> Path:
        """The path to load, with whatever belongs there."""
        path = directory / "codeblue.yaml"
        if self.setup is not None:
            self.setup(path)
        elif self.text is not None:
            path.write_bytes(self.text if isinstance(self.text, bytes) else self.text.encode())
        return path


def _missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))


def _large(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(LOCAL.encode() + b"# ")
        stream.truncate(50 * 1024 * 1024)


def _bomb(levels: int) -> str:
    lines = ['a0: &a0 ["lol", "lol"]'] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


F = Fault
DURATION = "number with its unit"
SECRET = r"\{env: NAME\} or \{file: PATH\}"

FAULTS: tuple[Fault, ...] = (
    # The file itself.
    F("missing-file", None, 0, "does not exist", "examples/kubernetes.yaml .*`codeblue check`", setup=_missing),
    F("directory", None, 0, "is a directory", "--profile FILE", setup=Path.mkdir),
    F("named-pipe", None, 0, "not a regular file", "--profile FILE", setup=os.mkfifo),
    F("symlink-loop", None, 0, "cannot be read", "--profile FILE", setup=_loop),
    F("dangling-symlink", None, 0, "does not exist", "examples/kubernetes.yaml .*`codeblue check`", setup=_dangling),
    F("fifty-megabytes", None, 1, "larger than 64 KiB", "right file", setup=_large),
    F("empty", "", 1, "the file is empty", "begin with version: 1"),
    F("only-comments", "# nothing\n\n# here\n", 1, "the file is empty", "begin with version: 1"),
    # The text.
    F("not-utf-8", LOCAL.encode() + b"# Z\xfcrich\n", 6, "not UTF-8", "UTF-8"),
    F("utf-16", LOCAL.encode("utf-16"), 1, "not UTF-8", "UTF-8"),
    F("nul", LOCAL + "report: {directory: a\0b}\n", 6, r"invisible character U\+0000", "delete it"),
    F("escape-character", HEAD + "# \x1b[31m\n", 3, r"U\+001B", "delete it"),
    F("bidi-override", LOCAL + "# \u202e\n", 6, r"U\+202E", "delete it"),
    F("no-break-space", LOCAL + "lease:\n\u00a0\u00a0duration: 15s\n", 7, r"U\+00A0", "plain space"),
    F("line-separator", HEAD + "# a\u2028platform: x\n", 3, r"U\+2028", "line end"),
    F("carriage-returns", LOCAL.replace("\n", "\r"), 1, r"U\+000D", "line end"),
    F("escaped-nul", LOCAL + 'report:\n  directory: "a\\0b"\n', 7, "cannot be printed", "delete the escape"),
    F("escaped-surrogate", LOCAL + 'report:\n  directory: "a\\ud800"\n', 7, "cannot be printed", "delete the escape"),
    F("escape-out-of-range", LOCAL + 'report:\n  directory: "\\U7fffffff"\n', 7, "not YAML", "docs/profile.md"),
    F("tab-indent", HEAD + "platform:\n\tkind: local\n", 4, "a tab stands", "indent with spaces"),
    F("bad-indent", HEAD + "platform:\n  kind: local\n directory: x\n", 5, "indentation", "indent the keys"),
    F("open-quote", LOCAL + 'report:\n  directory: "./inc\n', 7, "quotes of this value", "close the quotes"),
    F("open-bracket", LOCAL + "contract:\n  commands: {smoke: [npm, run\n", 8, "bracket", "close"),
    F("no-space-after-colon", HEAD + "platform:\n  kind:local\n  directory: x\n", 5, "no key can be|key: value", "."),
    F("two-colons", HEAD + "platform: kind: local\n", 3, "':' stands where no key can be", "indentation|quotes"),
    F("percent-first", HEAD + "health:\n  path: %2Fapi\n", 4, "cannot begin with this character", "quotes"),
    # YAML that readers understand differently.
    F("alias", LOCAL + "report:\n  directory: &d ./x\nstate:\n  directory: *d\n", 7, "anchor", "delete it"),
    F("alias-bomb", _bomb(40), 1, "anchor", "delete it"),
    F("undefined-alias", LOCAL + "report:\n  directory: *glob\n", 7, "alias", "quote it"),
    F("merge-key", LOCAL + "lease:\n  <<: {duration: 15s}\n", 7, "merge key", "write the keys themselves"),
    F("python-tag", LOCAL + "report: !!python/object/apply:os.system ['id']\n", 6, "tag", "delete it"),
    F("local-tag", LOCAL + "report:\n  directory: !env HOME\n", 7, "tag", "delete it"),
    F("signals-scrape-nothing", LOCAL + "signals: {source: scrape}\n", 6, "signals.source: is scrape, but", "contract.metrics"),
    F("signals-no-prometheus", LOCAL + "signals: {source: prometheus}\n", 6, "signals.source: .*nothing says where", "prometheus"),
    F("signals-timeout", LOCAL + "signals: {interval: 2s, timeout: 3s}\n", 6, "signals.timeout: .*overlap", "at most"),
    F("signals-name", LOCAL + "signals: {names: {requests: http-requests}}\n", 6, "signals.names.requests: is not the name of a metric", "http_requests_total"),
    F("signals-label", LOCAL + "signals: {names: {status_label: a.b}}\n", 6, "signals.names.status_label: is not the name of a label", "letters"),
    F("signals-user-alone", LOCAL + "signals: {prometheus: {url: 'http://prom:9090', username: code-blue}}\n", 6, "signals.prometheus: has only one of", "both"),
    F("signals-two-ways", LOCAL + "signals: {prometheus: {url: 'http://prom:9090', token: {env: A}, username: u, password: {env: B}}}\n", 6, "a token and a user", "not both"),
    F("signals-token-literal", LOCAL + "signals: {prometheus: {url: 'http://prom:9090', token: abc}}\n", 6, "token: is a literal", "reference"),
    F("signals-lookback", LOCAL + "signals: {prometheus: {url: 'http://prom:9090', lookback: 1s}}\n", 6, "too small", "5s"),
    F("two-documents", LOCAL + "---\n" + LOCAL, 6, "second document", "keep one document"),
    F("directive", "%YAML 1.1\n---\n" + LOCAL, 2, "directive", "delete the line"),
    F("duplicate-key", LOCAL + "lease: {duration: 15s}\nlease: {duration: 20s}\n", 7, "lease: is given twice, first in line 6", "one"),
    F("complex-key", LOCAL + "? [a, b]\n: c\n", 6, "not a single word", "write a word"),
    F("template-key", LOCAL + "report:\n  directory: {{ dir }}\n", 7, "not a single word", r"\{\{ \}\} in quotes"),
    F("number-key", LOCAL + "flags:\n  1: true\n", 7, "a key is no name", "quotes"),
    F("surrogate-key", LOCAL + 'flags:\n  "\\ud800": true\n', 7, "cannot be printed", "delete the escape"),
    F("key-is-on", LOCAL + "flags:\n  on: true\n", 7, "switch to some", '"on" in quotes'),
    F("key-is-empty", LOCAL + "flags:\n  : true\n", 7, "a key is empty", "before the colon"),
    F("no-is-no-word", LOCAL + "runbooks:\n  quick_rollback:\n    at_once: no\n", 8, "switch to some", "true or false"),
    F("on-is-no-word", LOCAL + "flags:\n  ai_enabled: on\n", 7, "switch to some", "true or false"),
    F("norway", HEAD + "platform:\n  kind: kubernetes\n  context: no\n", 5, "platform.context: .*switch", '"no" in quotes'),
    F("octal", LOCAL + "verify:\n  checks: 012\n", 7, "readers understand differently", "plain decimal"),
    F("sexagesimal", LOCAL + "known_good:\n  soak: 1:30\n", 7, "readers understand differently", "plain decimal"),
    F("underscored", LOCAL + "verify:\n  latency_samples: 1_000\n", 7, "readers understand differently", "plain decimal"),
    F("not-a-number", LOCAL + "verify:\n  checks: .nan\n", 7, "readers understand differently", "plain decimal"),
    F("no-value", LOCAL + "contract:\n  metrics:\n", 7, "contract.metrics: has no value", "null for none"),
    F("no-value-section", LOCAL + "contract:\n  # metrics: /metrics\n", 6, "contract: has no value", "delete the key"),
    F("nested-too-deep", "a: " + "[" * 5000 + "]" * 5000 + "\n", 1, "nested deeper", "4 levels"),
    F("nested-braces", LOCAL + "flags: " + "{" * 5000, 6, "nested deeper", "4 levels"),
    F("nested-slowly", "[a, " * 5000, 1, "nested deeper", "4 levels"),
    F("nested-duplicates", "{a: 1, a: " * 3000, 1, "nested deeper", "4 levels"),
    F("nested-keys", "{{ x }}: 1\n", 1, "not a single word", "write a word"),
    F("too-many-values", LOCAL + "flags:\n" + "".join(f"  f{n}: true\n" for n in range(3000)), 2000, "more than 2000", "delete"),
    F("long-text", LOCAL + f"report:\n  directory: {'a' * 5000}\n", 7, "more than 4096 characters", "shorter"),
    # The sections.
    F("top-level-list", "- version: 1\n", 1, "not a mapping", "begin with version: 1"),
    F("top-level-text", "codeblue\n", 1, "not a mapping", "begin with version: 1"),
    F("no-platform", HEAD, 1, "platform: is missing", "kind: kubernetes or kind: local"),
    F("no-version", LOCAL.replace("version: 1\n", ""), 1, "version: is missing", "add version: 1"),
    F("version-2", LOCAL.replace("version: 1", "version: 2"), 1, "version: is not a version", "write version: 1"),
    F("version-text", LOCAL.replace("version: 1", "version: '1'"), 1, "version: is not a version", "write version: 1"),
    F("version-true", LOCAL.replace("version: 1", "version: true"), 1, "version: is not a version", "write version: 1"),
    F("version-float", LOCAL.replace("version: 1", "version: 1.0"), 1, "version: is not a version", "write version: 1"),
    F("service-upper-case", LOCAL.replace("ai-diagnostics-api", "AI_Diagnostics"), 2, "upper case", "write ai-diagnostics"),
    F("service-traversal", LOCAL.replace("ai-diagnostics-api", "../../etc"), 2, "service: is not an RFC 1123", "for example"),
    F("service-long", LOCAL.replace("ai-diagnostics-api", "a" * 64), 2, "at most 63 characters", "for example"),
    F("unknown-key", LOCAL + "helth:\n  interval: 10s\n", 6, "helth: unknown key", "write health"),
    F("unknown-key-below", LOCAL + "health:\n  intervall: 10s\n", 7, "health.intervall: unknown key", "write interval"),
    F("key-elsewhere", LOCAL + "deadline: 300s\n", 6, "unknown key", "belongs to runbooks.quick_rollback"),
    F("unknown-key-no-idea", LOCAL + "zzz: 1\n", 6, "zzz: unknown key", "write one of version, service"),
    F("section-is-text", LOCAL + "health: fine\n", 6, "health: is not a section", "indented"),
    F("section-is-list", LOCAL + "health:\n  - path: /\n", 6, "health: is not a section", "indented"),
    F("section-is-null", LOCAL + "verify: null\n", 6, "verify: is not a section", "indented"),
    # The platform.
    F("no-kind", HEAD + "platform:\n  context: prod\n", 3, "platform: has no kind", "add kind"),
    F("unknown-kind", HEAD + "platform:\n  kind: docker\n", 3, "unknown kind", "kind: kubernetes or kind: local"),
    F("no-context", CLUSTER.replace("  context: prod-eu\n", ""), 3, "platform.context: is missing", "add context: .*current"),
    F("null-context", CLUSTER.replace("prod-eu", "null"), 5, "platform.context: is not text", "prod-eu"),
    F("blank-context", CLUSTER.replace("prod-eu", "'  '"), 5, "platform.context: is empty", "prod-eu"),
    F("context-todo", CLUSTER.replace("prod-eu", "TODO"), 5, "platform.context: is a placeholder", "prod-eu"),
    F("namespace-upper-case", CLUSTER.replace("ai-diagnostics-prod", "PharmacyCopilot-prod"), 6, "upper case", "write pharmacycopilot-prod"),
    F("namespace-number", CLUSTER.replace("ai-diagnostics-prod", "12"), 6, "platform.namespace: is not text", "quotes"),
    F("deployment-underscore", CLUSTER.replace("deployment: ai-diagnostics-api", "deployment: ai_api"), 7, "RFC 1123 subdomain", "for example"),
    F("port-zero", CLUSTER + "  port: 0\n", 8, "not a port number", "1 to 65535"),
    F("port-text", CLUSTER + "  port: '5000'\n", 8, "not the port of a Service", "1 to 65535"),
    F("port-switch", CLUSTER + "  port: true\n", 8, "not the port of a Service", "1 to 65535"),
    F("version-env-lower-case", CLUSTER + "  version_env: release-version\n", 8, "environment variable", "RELEASE_VERSION"),
    F("unknown-home", CLUSTER + "  kubeconfig: ~nobody-of-that-name/config\n", 8, "home directory is unknown", "root '/'"),
    F("local-with-context", LOCAL + "  context: prod-eu\n", 6, "platform.context: unknown key", "kind, directory, workload"),
    # Health and contract.
    F("bare-number", LOCAL + "health:\n  interval: 10\n", 7, r"number without a unit .*\(here: 10\)", DURATION),
    F("bare-float", LOCAL + "health:\n  interval: 0.5\n", 7, "number without a unit", DURATION),
    F("unknown-unit", LOCAL + "health:\n  interval: 10 sec\n", 7, "is not a duration", DURATION),
    F("negative-duration", LOCAL + "triggers:\n  cooldown: -5m\n", 7, "is not a duration", DURATION),
    F("zero-interval", LOCAL + "health:\n  interval: 0s\n", 7, "health.interval: is too small", "write at least 100ms"),
    F("timeout-over-interval", LOCAL + "health:\n  interval: 5s\n  timeout: 6s\n", 8, r"6 s > 5 s", "at most health.interval"),
    F("via-unknown", LOCAL + "health:\n  via: proxy\n", 7, "health.via: .*not one of", "auto, direct, apiserver or url"),
    F("via-url-without", LOCAL + "health:\n  via: url\n", 6, "health.url: is missing", "add url"),
    F("url-without-via", LOCAL + "health:\n  url: https://hospital.org\n", 7, "only used with via: url", "write via: url"),
    F("url-ftp", LOCAL + "health:\n  via: url\n  url: ftp://hospital.org\n", 8, "not an http", "https://"),
    F("url-password", LOCAL + "health:\n  via: url\n  url: https://u:p@hospital.org\n", 8, "holds a user or password", "without"),
    F("url-broken", LOCAL + "health:\n  via: url\n  url: 'http://[::1'\n", 8, "is a placeholder|not a URL", "write an"),
    F("url-locally", LOCAL + "health:\n  via: url\n  url: http://hospital.org\n", 7, "health.via: needs kind: kubernetes", "via: auto"),
    F("apiserver-locally", LOCAL + "health:\n  via: apiserver\n", 7, "health.via: needs kind: kubernetes", "via: auto"),
    F("path-without-slash", LOCAL + "health:\n  path: api/health\n", 7, "not the path of an endpoint", "/api/health"),
    F("path-with-host", LOCAL + "contract:\n  metrics: //evil/metrics\n", 7, "not the path of an endpoint", "/api/health"),
    F("command-unknown", LOCAL + "contract:\n  commands:\n    smok: [npm]\n", 8, "not the name of an operator command", "write smoke"),
    F("command-text", LOCAL + "contract:\n  commands:\n    smoke: npm run smoke\n", 8, "not a list", r"\[npm, run, smoke\]"),
    F("command-empty", LOCAL + "contract:\n  commands:\n    smoke: []\n", 8, "empty list", r"\[npm, run, smoke\]"),
    F("command-number", LOCAL + "contract:\n  commands:\n    smoke: [sleep, 5]\n", 8, r"smoke\[1\]: is not text", "quotes"),
    F("command-blank", LOCAL + "contract:\n  commands:\n    smoke: [' ', x]\n", 8, "begins with an empty text", "program first"),
    F("command-password", LOCAL + "contract:\n  commands:\n    smoke:\n      - mongo\n      - --password=hunter2\n", 10, "secret in an argument", "environment or a file"),
    F("pod-locally", LOCAL + "contract:\n  run_in: pod\n", 7, "run_in: needs kind: kubernetes", "run_in: local"),
    F("flag-text", LOCAL + "flags:\n  ai_enabled: 'true'\n", 7, "flags.ai_enabled: is not the state", "true, false or a whole"),
    F("flag-over-100", LOCAL + "flags:\n  rollout: 101\n", 7, "flags.rollout: is not the state", "0 to 100"),
    F("flag-percent", LOCAL + "flags:\n  rollout: 50 %\n", 7, "flags.rollout: is not the state", "without the % sign"),
    F("flag-name", LOCAL + "flags:\n  ai enabled: true\n", 7, "not the name of a flag", "letters, digits"),
    # Numbers.
    F("bare-percent", LOCAL + "verify:\n  error_rate: 5\n", 7, "without the % sign", '"5 %"'),
    F("fraction", LOCAL + "verify:\n  error_rate: 0.05\n", 7, "without the % sign", '"5 %"'),
    F("over-100-percent", LOCAL + "verify:\n  memory: 101 %\n", 7, "more than 100 %", "0 % to 100 %"),
    F("checks-zero", LOCAL + "verify:\n  checks: 0\n", 7, "verify.checks: is too small", "write at least 1"),
    F("checks-float", LOCAL + "verify:\n  checks: 1.5\n", 7, "not a whole number", "whole number"),
    F("checks-true", LOCAL + "verify:\n  checks: true\n", 7, "not a whole number", "whole number"),
    F("checks-text", LOCAL + "verify:\n  checks: '10'\n", 7, "not a whole number", "without quotes"),
    F("huge-number", LOCAL + f"verify:\n  checks: {'9' * 5000}\n", 7, "more than 4096|very large", "."),
    F("deadline-over-300s", LOCAL + "runbooks:\n  quick_rollback:\n    deadline: 10m\n", 8, "is too large .*10m", "write at most 5m"),
    F("at-once-text", LOCAL + "runbooks:\n  quick_rollback:\n    at_once: 'true'\n", 8, "is not a switch", "true or false"),
    F("lease-too-short", LOCAL + "lease:\n  duration: 1s\n", 7, "lease.duration: is too small", "write at least 5s"),
    F("lease-too-long", LOCAL + "lease:\n  duration: 2m\n", 7, "lease.duration: is too large", "write at most 1m"),
    F("mode-unknown", LOCAL + "triggers:\n  health:\n    mode: auto\n", 8, "not one of", "observe, ask or act"),
    F("policy-unknown", LOCAL + "triggers:\n  policy: off-label\n", 7, "not one of", "safe or literal"),
    F("window-longer", LOCAL + "triggers:\n  errors:\n    window: 3m\n", 7, "triggers.errors.lasting: is shorter than the window", "at least as much as window"),
    F("lasting-shorter", LOCAL + "triggers:\n  ai:\n    lasting: 1m\n", 8, "triggers.ai.lasting: is shorter than the window", "shorter window"),
    F("threshold-100", LOCAL + "triggers:\n  memory:\n    threshold: 100 %\n", 8, "triggers.memory.threshold: can never be exceeded", "less than 100 %"),
    F("minimum-zero", LOCAL + "triggers:\n  latency:\n    minimum: 0\n", 8, "triggers.latency.minimum: is too small", "at least 1"),
    F("window-one-second", LOCAL + "triggers:\n  memory:\n    window: 1s\n", 8, "triggers.memory.window: is too small", "at least 2s"),
    F("recent-change-zero", LOCAL + "triggers:\n  recent_change: 0s\n", 7, "too small", "at least 1s"),
    # Secrets.
    F("database-literal", LOCAL + "state:\n  database: postgresql://u:hunter2@db/x\n", 7, "literal value", SECRET),
    F("database-nothing", LOCAL + "state:\n  database: {}\n", 7, "not exactly one place", SECRET),
    F("database-both", LOCAL + "state:\n  database: {env: A, file: b}\n", 7, "not exactly one place", SECRET),
    F("secret-unknown-key", LOCAL + "state:\n  database: {environment: A}\n", 7, "unknown key", "delete it|write"),
    F("webhook-literal", LOCAL + "pages:\n  slack_webhook: https://hooks.slack.com/services/T0/B0/x\n", 7, "literal value", SECRET),
    F("routing-key-literal", LOCAL + "pages:\n  pagerduty_routing_key: 0123456789abcdef\n", 7, "literal value", SECRET),
    F("secret-in-env-name", LOCAL + "pages:\n  slack_webhook:\n    env: xoxb-abc\n", 8, "name of an environment variable", "RELEASE_VERSION"),
    F("secret-file-is-url", LOCAL + "state:\n  database:\n    file: postgresql://u:p@db/x\n", 8, "is a URL", "write a path"),
    # Flags.
    F("flags-set-no-value", LOCAL + "contract:\n  commands:\n    flags_set: [set-flag, '{flag}']\n", 8, "does not say where {value} stand", "'{flag}', '{value}'"),
    F("flags-set-npm-swallows", LOCAL + "contract:\n  commands:\n    flags_set: [npm, run, set-flag, --enabled, '{value}', --, '{flag}']\n", 8, "gives npm itself the flag or the value", "write -- before"),
    F("flags-set-npm-no-dashes", LOCAL + "contract:\n  commands:\n    flags_set: [npm, run, set-flag, '--name={flag}', '--enabled={value}']\n", 8, "gives npm itself the flag or the value", "write -- before"),
    F("flag-store-empty", LOCAL + "flag_store: {}\n", 6, "names no place", "write one of"),
    F("flag-store-two", LOCAL + "flag_store: {flagd_file: ./flags.json, unleash: {url: 'https://u.hospital.org', token: {env: A}, environment: production}}\n", 6, "names flagd_file and unleash", "write one of"),
    F("flag-store-local-config-map", LOCAL + "flag_store:\n  config_map: {name: flags}\n", 7, "needs kind: kubernetes", "write flagd_file"),
    F("flag-store-token-literal", LOCAL + "flag_store:\n  unleash:\n    url: https://u.hospital.org\n    token: '*:production.abc'\n    environment: production\n", 9, "literal value", SECRET),
    # Channels and the status page.
    F("pagerduty-twice", LOCAL + "pages:\n  pagerduty_routing_key: {env: A}\n  pagerduty:\n    routing_key: {env: A}\n", 7, "says the same as pagerduty", "delete pagerduty_routing_key"),
    F("pagerduty-no-key", LOCAL + "pages:\n  pagerduty: {}\n", 7, "names no routing key", "add routing_key"),
    F("pagerduty-key-literal", LOCAL + "pages:\n  pagerduty:\n    routing_key: 0123456789abcdef\n", 8, "literal value", SECRET),
    F("pagerduty-role-unknown", LOCAL + "pages:\n  pagerduty:\n    roles:\n      oncall: {env: A}\n", 9, "not one of|not what", "."),
    F("pagerduty-not-encrypted", LOCAL + "pages:\n  pagerduty:\n    routing_key: {env: A}\n    api: http://events.pagerduty.com\n", 9, "is not encrypted", "https://"),
    F("slack-no-way", LOCAL + "pages:\n  slack: {}\n", 7, "not exactly one way", "token and channel, or webhook"),
    F("slack-both-ways", LOCAL + "pages:\n  slack: {token: {env: A}, channel: C0PAGES77, webhook: {env: B}}\n", 7, "not exactly one way", "token and channel, or webhook"),
    F("slack-no-channel", LOCAL + "pages:\n  slack: {token: {env: A}}\n", 7, "needs channel as well", "add channel"),
    F("slack-channel-name", LOCAL + "pages:\n  slack:\n    token: {env: A}\n    channel: '#pages'\n", 9, "not the id of a Slack channel", "begins with C or G"),
    F("slack-channel-todo", LOCAL + "pages:\n  slack:\n    token: {env: A}\n    channel: CXXXXXXXX\n", 9, "is a placeholder", "."),
    F("apprise-literal", LOCAL + "pages:\n  apprise:\n    cto: mailto://u:hunter2@mail.hospital.org\n", 8, "literal value", SECRET),
    F("status-page-no-key", LOCAL + "status_page:\n  page: kctbh9vrtdwd\n", 6, "status_page.api_key: is missing", "add api_key"),
    F("status-page-todo", LOCAL + "status_page:\n  page: YOUR_PAGE_ID\n  api_key: {env: A}\n", 7, "status_page.page: is a placeholder", "copy it"),
    F("status-page-upper-case", LOCAL + "status_page:\n  page: KCTBH9VRTDWD\n  api_key: {env: A}\n", 7, "not an id of Statuspage", "copy it"),
    F("status-page-steps", LOCAL + "status_page:\n  page: abcd12345678\n  api_key: {env: A}\n", 7, "is a placeholder", "copy it"),
    F("status-page-component", LOCAL + "status_page:\n  page: kctbh9vrtdwd\n  api_key: {env: A}\n  components: [component_id]\n", 9, "is a placeholder", "copy it"),
    F("status-page-http", LOCAL + "status_page:\n  page: kctbh9vrtdwd\n  api_key: {env: A}\n  api: http://api.statuspage.io/v1\n", 9, "is not encrypted", "https://"),
    F("status-page-wording", LOCAL + "status_page:\n  page: kctbh9vrtdwd\n  api_key: {env: A}\n  wording: {resolved: TODO}\n", 9, "is a placeholder", "."),
    F("status-page-severity", LOCAL + "status_page:\n  page: kctbh9vrtdwd\n  api_key: {env: A}\n  severities: [SEV0]\n", 9, "not one of", "SEV1"),
    # People.
    F("contact-no-phone", LOCAL + "contacts:\n  on_call:\n    name: Ada L\n", 7, "contacts.on_call.phone: is missing", "add phone"),
    F("contact-unquoted-phone", LOCAL + "contacts:\n  cto: {name: Ada L, phone: +4930227715}\n", 7, "loses its '\\+'", "quotes"),
    F("contact-unknown", LOCAL + "contacts:\n  oncall: {name: Ada L}\n", 7, "unknown key", "write on_call"),
)  # fmt: skip
