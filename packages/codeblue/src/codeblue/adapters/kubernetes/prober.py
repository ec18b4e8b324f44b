"""Probes through the API server's proxy: works from any machine that can reach the API server (D10)."""

from lightkube.config.client_adapter import user_auth, verify_cluster
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError

from codeblue.adapters.http_prober import Exchange, HttpProber, Judgement, by_status
from codeblue.model.errors import UsageError
from codeblue.model.health import Outcome


def proxied(exchange: Exchange) -> Judgement:
    """Tells the service's own answer from what the API server says in its place.

    The proxy answers 503 with a Status object when there is no endpoint or the pod does not answer: that is the service
    failing. Everything that keeps us from the proxy (no connection, 401, 403, a Status of another kind) is unknown.
    """
    if exchange.failure is not None:
        return Outcome.UNKNOWN, f"the API server's proxy: {exchange.failure}"
    body = exchange.json()
    if isinstance(body, dict) and body.get("kind") == "Status" and body.get("apiVersion") == "v1":
        message = str(body.get("message") or "")[:200]
        if exchange.status == 503 and message.startswith(("no endpoints available", "error trying to reach service")):
            return Outcome.BREACH, f"status 503 from the proxy: {message}"
        return Outcome.UNKNOWN, f"status {exchange.status} from the API server: {message}"
    return by_status(exchange)


def proxy_prober(config: SingleConfig, version_field: str) -> HttpProber:
    """A prober with the kubeconfig's credentials.

    Raises:
        UsageError: the credentials cannot be read.
    """
    if config.user is None:
        raise UsageError(f"Context {config.context_name} has no user.", remedy="Add credentials to the kubeconfig.")
    try:
        context = verify_cluster(config.cluster, config.user, config.abs_file, trust_env=False)
        auth = user_auth(config.user)
    except (OSError, ConfigError) as error:
        raise UsageError(f"The credentials of context {config.context_name!r} cannot be read: {error}.") from error
    return HttpProber(version_field, auth=auth, ssl=context, classify=proxied, keep_alive=True)
