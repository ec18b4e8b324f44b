"""Whether a template of the past can still start: its images and its configuration can still be had (B1)."""

from collections.abc import Iterator
from dataclasses import dataclass

from codeblue.adapters.kubernetes.api import Api, Json
from codeblue.model.errors import Forbidden, NotFound, Unreachable

#: The kubelet lists so many images by default; from there on, absence from the list proves nothing.
NODE_IMAGES_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Runnable:
    """The answer: True, False, or None where nobody but a registry could tell."""

    verdict: bool | None
    why: str = ""


class Means:
    """What the cluster has at this moment; asked once and used for every revision of the history."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._root = api, f"/api/v1/namespaces/{namespace}"
        self._images: frozenset[str] | None = None
        self._images_why = ""
        self._complete = False
        self._objects: dict[str, bool | None] = {}

    async def look(self) -> None:
        """Read the images of all nodes. Without permission to, nothing follows from them."""
        try:
            nodes = await self._api.list_all("/api/v1/nodes")
        except (Forbidden, Unreachable) as error:
            self._images_why = f"the nodes' images cannot be read: {error.message}"
            return
        lists = [(n.get("status") or {}).get("images") or [] for n in nodes]
        self._images = frozenset(name for images in lists for image in images for name in image.get("names") or [])
        self._complete = all(len(images) < NODE_IMAGES_LIMIT for images in lists)

    async def judge(self, template: Json) -> Runnable:
        """Whether this template can start. A missing ConfigMap or Secret, or an image that may not be pulled and is on
        no node, is a no; an image that would have to be pulled first is unknown."""
        for kind, name in _references(template):
            if await self._exists(kind, name) is False:
                return Runnable(False, f"{kind[:-1]} {name} is gone")
        doubts: list[str] = []
        for container in template["spec"].get("containers") or []:
            image, policy = str(container.get("image")), container.get("imagePullPolicy")
            if self._images is None:
                doubts.append(self._images_why)
            elif _normal(image) in self._images:
                continue
            elif policy == "Never" and self._complete:
                return Runnable(False, f"image {image} is on no node, and its pull policy is Never")
            else:
                doubts.append(f"image {image} is on no node; whether the registry still has it shows only the pull")
        return Runnable(None, "; ".join(dict.fromkeys(doubts))) if doubts else Runnable(True)

    async def _exists(self, kind: str, name: str) -> bool | None:
        key = f"{kind}/{name}"
        if key not in self._objects:
            try:
                await self._api.metadata(f"{self._root}/{key}")
                self._objects[key] = True
            except NotFound:
                self._objects[key] = False
            except (Forbidden, Unreachable):
                self._objects[key] = None
        return self._objects[key]


def _references(template: Json) -> Iterator[tuple[str, str]]:
    """ConfigMaps that the template cannot start without. Secrets are laid over from today (D15), so not these."""
    spec = template["spec"]
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        for source in container.get("envFrom") or []:
            reference = source.get("configMapRef")
            if reference and not reference.get("optional"):
                yield "configmaps", reference["name"]
        for env in container.get("env") or []:
            reference = (env.get("valueFrom") or {}).get("configMapKeyRef")
            if reference and not reference.get("optional"):
                yield "configmaps", reference["name"]
    for volume in spec.get("volumes") or []:
        reference = volume.get("configMap")
        if reference and not reference.get("optional"):
            yield "configmaps", reference["name"]


def _normal(image: str) -> str:
    """An image's name as the container runtime lists it: with registry and tag."""
    first, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif "." not in first and ":" not in first and first != "localhost":
        image = f"docker.io/{image}"
    last = image.rsplit("/", 1)[-1]
    return image if ":" in last or "@" in last else f"{image}:latest"
