"""Who acts, always in one form: `person:NAME (LOGIN@MACHINE)`."""

import os
import pwd
import socket

from codeblue.model.secret import masked_name

#: Characters of a name; what a platform calls somebody can be long.
NAME_LIMIT = 200


def login() -> str:
    """The account of this process as the machine knows it (never `$USER`, D13): its name, else its number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers run under numbers that no file names
        return f"uid {os.getuid()}"


def actor_name(identity: str = "") -> str:
    """The actor of an event.

    Args:
        identity: whom the platform authenticated; "" for what the record alone is asked for (an approval, an abort, a
            note must be possible while the platform is down), and then the login stands for it.
    """
    name = masked_name("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in identity))
    return f"person:{name[:NAME_LIMIT] or login()} ({login()}@{socket.gethostname()})"
