"""What is protected, as a profile names it: one service can run in several places, and each has a record of its own."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Name of the context of a process that runs in the cluster itself.
IN_CLUSTER: Final = "in-cluster"

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Target:
    """Which workload, where.

    Attributes:
        kind: of the platform, "kubernetes" or "local".
        where: the context, or the directory of the local platform.
        name: "namespace/deployment", or the local workload.
        place: fingerprints by which a cluster or a machine is known under any name, at least one of them for good;
            empty where there is none to be had, None where nobody looked.
    """

    kind: str
    where: str
    name: str
    place: tuple[str, ...] | None = None

    @property
    def text(self) -> str:
        """The target in words, for messages."""
        if self.kind == "kubernetes":
            return f"Deployment {self.name}, context {self.where}"
        return f"{self.kind} workload {self.name} in {self.where}"

    def folder(self, more: str = "") -> str:
        """A name for its directory that people can read, and that no other target has.

        Args:
            more: what else tells it from others.
        """
        readable = _UNSAFE.sub("-", f"{self.where}.{self.name}").strip("-.")[-60:].lstrip("-.")
        whole = json.dumps([self.kind, self.where, self.name, more])
        return f"{readable}-{hashlib.sha256(whole.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"

    def same_as(self, other: "Target") -> bool:
        """Whether both are the same workload, as far as anybody looked.

        Two clusters can have one name ("in-cluster" everywhere, "default" by many installers): their fingerprints tell
        them apart. One cluster can have two names: inside it, it is "in-cluster", and then a fingerprint in common
        shows that it is the same, because what a pod is given is the cluster's own and not that of a proxy before it.
        """
        if (self.kind, self.name) != (other.kind, other.name):
            return False
        looked = self.place is not None and other.place is not None
        common = set(self.place or ()) & set(other.place or ())
        if self.place and other.place and not common:
            return False
        if self.where == other.where:
            return True
        inside = self.kind == "kubernetes" and IN_CLUSTER in (self.where, other.where)
        return inside and (bool(common) or not looked)

    def plain(self) -> dict[str, Any]:
        """Its recorded form."""
        return {"kind": self.kind, "where": self.where, "name": self.name, "place": list(self.place or ())}

    @staticmethod
    def load(data: Mapping[str, Any]) -> "Target":
        """The target of a recorded form. Raises KeyError, TypeError for one that is none of ours."""
        kind, where, name, place = (data[key] for key in ("kind", "where", "name", "place"))
        if not isinstance(place, list) or not all(isinstance(text, str) for text in (kind, where, name, *place)):
            raise TypeError("a target is made of texts")
        return Target(kind, where, name, tuple(place))
