"""By what a cluster is known, whatever a context calls it: its certificate authority."""

import base64
import binascii
import hashlib
import re
from pathlib import Path
from typing import Final

from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


def authorities(config: SingleConfig) -> tuple[str, ...]:
    """A fingerprint of each certificate that the connection trusts; () where the kubeconfig has none of its own.

    There are several while an authority is being replaced, and then old and new have one in common. What cannot be read
    is no fingerprint: the connection itself says what is wrong with it.
    """
    found = _CERTIFICATE.findall(_bundle(config))
    digests = {hashlib.sha256("".join(body.split()).encode()).hexdigest()[:16] for body in found}
    return tuple(sorted(digests))


def _bundle(config: SingleConfig) -> str:
    cluster = config.cluster
    try:
        if cluster.certificate_auth_data:
            return base64.b64decode(cluster.certificate_auth_data).decode("ascii", "replace")
        if cluster.certificate_auth:
            return Path(config.abs_file(cluster.certificate_auth)).read_text("ascii", "replace")
    except (OSError, ValueError, binascii.Error, ConfigError):
        return ""
    return ""
