"""What people write into the record: one line, bounded, without what looks like a secret."""

from codeblue.cli.frame import say
from codeblue.model.errors import UsageError
from codeblue.model.secret import masked

#: Characters; a reason is a sentence, not a document.
LIMIT = 500


def sentence(text: str, what: str) -> str:
    """The text as it is recorded.

    It is never refused for what it says, because that would cost time in an emergency: what looks like the value of a
    secret is recorded as `***`, and the person is told.

    Args:
        what: how messages call it ("--reason").

    Raises:
        UsageError: it is empty, too long, or has line ends or control characters.
    """
    if not text.strip():
        raise UsageError(f"{what} is empty. Nothing was changed.", remedy="Say it in a few words; it is recorded.")
    if not text.isprintable() or len(text) > LIMIT:
        raise UsageError(
            f"{what} is not one line of 1 to {LIMIT} printable characters. Nothing was changed.",
            remedy="Say it in a few words; it is recorded.",
        )
    kept = masked(text)
    if kept != text:
        say(
            f"Something in {what} looks like the value of a secret and is recorded as ***. If it was one, replace it: "
            "every user of this machine could read it in the list of processes."
        )
    return kept
