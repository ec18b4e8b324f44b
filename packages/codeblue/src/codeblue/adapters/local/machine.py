"""By what a machine is known, whatever it is called."""

import hashlib
from pathlib import Path


def machine(file: Path = Path("/etc/machine-id")) -> tuple[str, ...]:
    """A fingerprint of this machine; () where it has no id. The id itself is confidential (machine-id(5))."""
    try:
        text = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ()
    return (hashlib.sha256(f"codeblue {text}".encode()).hexdigest()[:16],) if text else ()
