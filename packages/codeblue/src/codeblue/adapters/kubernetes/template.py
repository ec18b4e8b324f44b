"""A pod template as a release: what identifies it, and how today's secret references are laid over it (D15)."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import rfc8785

from codeblue.model.release import Template

Json = dict[str, Any]

#: Marks that the controller or a mere restart leaves on a template; they make no release.
HASH_LABEL = "pod-template-hash"
RESTART_ANNOTATION = "kubectl.kubernetes.io/restartedAt"


def read_template(raw: Json, container: str | None, version_env: str | None) -> Template:
    """A `spec.template` as our `Template`.

    Args:
        raw: the template as the API server has it, of a Deployment or of a ReplicaSet.
        container: whose image and environment name the version; None means the first.
        version_env: the environment variable that names the version; without it the image's tag does.
    """
    body = _without_hash(raw)
    release = copy.deepcopy(body)
    _annotations(release).pop(RESTART_ANNOTATION, None)
    _prune_empty(release)
    _drop_secrets(release)
    return Template(
        body=rfc8785.dumps(body).decode(),
        release=hashlib.sha256(rfc8785.dumps(release)).hexdigest(),
        exact=hashlib.sha256(rfc8785.dumps(body)).hexdigest(),
        version=_version(body, container, version_env),
        images=tuple(str(c.get("image", "")) for c in _containers(body)),
    )


def overlay_secrets(
    wanted: Json, current: Json, exists: Callable[[str, str | None], bool | None]
) -> tuple[Json, list[str]]:
    """`wanted` with the secret references of `current` in the places that both have.

    A reference is taken from `current` unless its secret is known to be missing: that may be the very defect of the
    bad release. Where it cannot be told, today's reference wins, because bringing a rotated secret back is worse (R11).

    Args:
        wanted, current: pod templates.
        exists: (secret, key or None) → whether it is there; None where that cannot be told.

    Returns:
        the template, and one note for each reference that differs.
    """
    result = copy.deepcopy(wanted)
    todays = {slot.place: slot for slot in _secret_slots(current)}
    notes: list[str] = []
    for slot in list(_secret_slots(result)):
        today = todays.get(slot.place)
        if today is None or today.reference == slot.reference:
            continue
        there = exists(today.secret, today.key)
        if there is False:
            notes.append(f"{slot.place}: kept {slot.secret!r}; today's {today.secret!r} does not exist")
            continue
        doubt = " (could not be checked whether it exists)" if there is None else ""
        notes.append(f"{slot.place}: {slot.secret!r} → {today.secret!r}, today's reference{doubt}")
        slot.put(today.reference)
    _add_new_env(result, current, exists, notes)
    return result, notes


class _Slot:
    """One place in a template that refers to a secret, with a name that means the same place in another template."""

    def __init__(self, place: str, holder: Json | list[Any], index: str | int, secret: str, key: str | None) -> None:
        self.place, self._holder, self._index, self.secret, self.key = place, holder, index, secret, key

    @property
    def reference(self) -> Any:
        return self._holder[self._index]  # type: ignore[index]  # a list has an int, an object a str

    def put(self, reference: Any) -> None:
        self._holder[self._index] = copy.deepcopy(reference)  # type: ignore[index]


def _secret_slots(template: Json) -> Iterator[_Slot]:
    spec = template.get("spec") or {}
    for container in _containers(template, init=True):
        name = container.get("name", "")
        for env in container.get("env") or []:
            reference = (env.get("valueFrom") or {}).get("secretKeyRef")
            if reference:
                place = f"{name}.env.{env.get('name')}"
                yield _Slot(place, env["valueFrom"], "secretKeyRef", reference.get("name", ""), reference.get("key"))
        # the n-th secret among envFrom is the same place: names are what rotation changes
        sources = [s for s in container.get("envFrom") or [] if s.get("secretRef")]
        for number, source in enumerate(sources):
            yield _Slot(f"{name}.envFrom[{number}]", source, "secretRef", source["secretRef"].get("name", ""), None)
    for volume in spec.get("volumes") or []:
        name = volume.get("name", "")
        if volume.get("secret"):
            yield _Slot(f"volume.{name}", volume["secret"], "secretName", volume["secret"].get("secretName", ""), None)
        for number, source in enumerate((volume.get("projected") or {}).get("sources") or []):
            if source.get("secret"):
                place = f"volume.{name}.projected[{number}]"
                yield _Slot(place, source["secret"], "name", source["secret"].get("name", ""), None)


def _add_new_env(
    result: Json, current: Json, exists: Callable[[str, str | None], bool | None], notes: list[str]
) -> None:
    """An explicit `env` entry that rotation put over `envFrom` (D48) must survive: it makes old secrets void."""
    todays = {c.get("name"): c for c in _containers(current, init=True)}
    for container in _containers(result, init=True):
        env: list[Json] = container.get("env") or []
        have = {e.get("name"): i for i, e in enumerate(env)}
        for entry in (todays.get(container.get("name")) or {}).get("env") or []:
            reference = (entry.get("valueFrom") or {}).get("secretKeyRef")
            name = entry.get("name")
            if not reference or _is_secret(env, have.get(name)):
                continue
            if exists(reference.get("name", ""), reference.get("key")) is not True:
                continue  # it may be the defect; the wanted release ran without it
            if name in have:
                env[have[name]] = copy.deepcopy(entry)
            else:
                env.append(copy.deepcopy(entry))
            notes.append(f"{container.get('name')}.env.{name}: added, today's secret {reference.get('name')!r}")
        if env:
            container["env"] = env


def _is_secret(env: list[Json], index: int | None) -> bool:
    return index is not None and bool((env[index].get("valueFrom") or {}).get("secretKeyRef"))


def _containers(template: Json, *, init: bool = False) -> list[Json]:
    spec = template.get("spec") or {}
    return (list(spec.get("initContainers") or []) if init else []) + list(spec.get("containers") or [])


def _without_hash(raw: Json) -> Json:
    body = copy.deepcopy(raw)
    metadata = body.setdefault("metadata", {})
    (metadata.get("labels") or {}).pop(HASH_LABEL, None)
    metadata.pop("creationTimestamp", None)
    return body


def _drop_secrets(template: Json) -> None:
    """Which secrets are referred to is no part of a release: rotation, or an override in `env`, leaves it the same."""
    for container in _containers(template, init=True):
        env = [e for e in container.get("env") or [] if not (e.get("valueFrom") or {}).get("secretKeyRef")]
        sources = [s for s in container.get("envFrom") or [] if not s.get("secretRef")]
        for key, rest in (("env", env), ("envFrom", sources)):
            container.pop(key, None)
            if rest:
                container[key] = rest
    for slot in _secret_slots(template):
        slot.put("secret")


def _annotations(template: Json) -> Json:
    annotations: Json = (template.get("metadata") or {}).get("annotations") or {}
    return annotations


def _prune_empty(template: Json) -> None:
    metadata = template.get("metadata") or {}
    for key in ("annotations", "labels"):
        if key in metadata and not metadata[key]:
            del metadata[key]


def _version(body: Json, container: str | None, version_env: str | None) -> str:
    containers = _containers(body)
    chosen = next((c for c in containers if c.get("name") == container), containers[0] if containers else {})
    for env in chosen.get("env") or []:
        if env.get("name") == version_env and env.get("value"):
            return str(env["value"])
    image = str(chosen.get("image", ""))
    tag = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[2]
    return tag


def images_of(raw: Json) -> tuple[str, ...]:
    """The images of a pod's specification, in order."""
    return tuple(str(c.get("image", "")) for c in (raw.get("containers") or []))


def parse(template: Template) -> Json:
    """The template's body as JSON again."""
    body = json.loads(template.body)
    if not isinstance(body, dict):
        raise TypeError("a Kubernetes template is an object")
    return body
