"""What comes back from a page: the values behind its buttons, and the key that a provider knows it by.

One place writes them and reads them again. They travel through other people's systems: whatever comes back is looked
at as a stranger's text, and holds no secret. An approval names the digest of the plan that the person saw.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from codeblue.model.ids import is_id
from codeblue.model.page import Page

#: Action ids of the buttons.
ACKNOWLEDGE_ACTION: Final = "codeblue.acknowledge"
APPROVE_ACTION: Final = "codeblue.approve"

#: A page that asks for an approval has both among its details: the run, and the digest of its plan.
RUN_DETAIL: Final = "run"
DIGEST_DETAIL: Final = "plan digest"

_IS_LEVEL: Final = re.compile(r"L[1-4]|notice", re.ASCII)
_IS_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KEY: Final = re.compile(r"codeblue:(?P<incident>[a-z0-9-]+):(?P<level>L[1-4]|notice)(?::\d{1,18})?", re.ASCII)
_MAX_VALUE: Final = 2000  # Slack's limit of a button's value


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A person takes over a level of an incident."""

    incident: str
    level: str

    @property
    def value(self) -> str:
        """As the button carries it."""
        return json.dumps({"do": "acknowledge", "incident": self.incident, "level": self.level})


@dataclass(frozen=True, slots=True)
class Approve:
    """A person approves the run whose plan has this digest, and no other."""

    run: str
    digest: str
    incident: str

    @property
    def value(self) -> str:
        """As the button carries it."""
        return json.dumps({"do": "approve", "run": self.run, "digest": self.digest, "incident": self.incident})


def read_button(action: str, value: str) -> Acknowledge | Approve | None:
    """What a click means; None for anything that no button of ours says. Never raises.

    Args:
        action: the action id. value: the button's value. Both as the provider hands them on.
    """
    if len(value) > _MAX_VALUE:
        return None
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not all(isinstance(v, str) for v in said.values()):
        return None
    match action, said:
        case "codeblue.acknowledge", {"do": "acknowledge", "incident": incident, "level": level, **more} if not more:
            return Acknowledge(incident, level) if is_id(incident) and _IS_LEVEL.fullmatch(level) else None
        case "codeblue.approve", {"do": "approve", "run": run, "digest": digest, "incident": incident, **more} if (
            not more
        ):
            known = is_id(run) and _IS_DIGEST.fullmatch(digest) and is_id(incident)
            return Approve(run, digest, incident) if known else None
    return None


def approval_of(page: Page) -> Approve | None:
    """The approval that a page asks for; None for a page that asks for none."""
    facts = dict(page.details)
    if RUN_DETAIL not in facts or DIGEST_DETAIL not in facts:
        return None
    return Approve(facts[RUN_DETAIL], facts[DIGEST_DETAIL], page.incident)


def incident_key(page: Page) -> str:
    """What a provider that keeps incidents of its own knows this page by.

    One for each level of an incident, whatever the role: who takes it over takes over the level. A repeated page of
    the level is another one, because a provider stays silent about what it knows already.
    """
    return level_key(page.incident, page.level, page.cycle)


def level_key(incident: str, level: str, cycle: int) -> str:
    """As `incident_key`, from what the record has of a page."""
    return f"codeblue:{incident}:{level}" + (f":{cycle}" if cycle else "")


def read_incident_key(key: str) -> Acknowledge | None:
    """The incident and level behind a provider's key; None where the key is none of ours."""
    found = _KEY.fullmatch(key) if len(key) <= 255 else None
    return Acknowledge(found["incident"], found["level"]) if found and is_id(found["incident"]) else None
