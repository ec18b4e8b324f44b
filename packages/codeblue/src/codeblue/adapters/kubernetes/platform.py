"""The platform port on a Deployment."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import replace

from codeblue.adapters.kubernetes.api import Api, Json
from codeblue.adapters.kubernetes.history import PodOrigin, owner_of, read_revisions, replica_sets
from codeblue.adapters.kubernetes.marks import (
    EPOCH,
    MARKS,
    RUN,
    STRATEGY,
    added,
    decode_marks,
    encode_marks,
    newest,
    read_json,
)
from codeblue.adapters.kubernetes.owners import find_owners, template_manager
from codeblue.adapters.kubernetes.pods import live, read_pod
from codeblue.adapters.kubernetes.ref import DeploymentRef, Via
from codeblue.adapters.kubernetes.room import room_for
from codeblue.adapters.kubernetes.routing import read_routing
from codeblue.adapters.kubernetes.runnable import Means
from codeblue.adapters.kubernetes.template import overlay_secrets, parse, read_template
from codeblue.adapters.kubernetes.usage import OomKills, read_facts, read_usage
from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import Conflict, Forbidden, LeaseLost, NotFound, Refused, Unreachable
from codeblue.model.release import Mark, Pod, Revision, Template, Workload
from codeblue.ports.clock import Clock
from codeblue.ports.platform import Overlay, Place, PodFacts, Room, Routing, Usage

#: The surge that replaces all pods at once.
ALL = "100%"
#: The kind of a change that ends a pod.
POD = "pod"
#: The API's own limit for counts, `leaseTransitions` among them.
INT32_MAX = 2**31 - 1
#: How often an epoch is stamped while others write to the Deployment at the same moment.
STAMPS = 10


class KubernetesPlatform:
    """Keeps `ports.platform.Platform` for one Deployment.

    Args:
        via: how probes of Service and pods travel.
        url: where clients come in, when that is not the Service itself (an ingress).

    The right to act is tested by the API server itself: each patch carries a `test` on resourceVersion and on the epoch
    that the lease stamped on the Deployment, so a late patch of a former holder is refused there (B3).
    """

    def __init__(self, api: Api, ref: DeploymentRef, clock: Clock, via: Via, *, url: str | None = None) -> None:
        self.api, self.ref, self._clock, self._via, self._url = api, ref, clock, via, url
        self._path = f"/apis/apps/v1/namespaces/{ref.namespace}/deployments/{ref.name}"
        self._kills = OomKills()

    @property
    def target(self) -> str:
        return f"Deployment {self.ref.namespace}/{self.ref.name}, context {self.api.context}"

    async def identity(self) -> str:
        review = await self.api.create(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
        return str(((review.get("status") or {}).get("userInfo") or {}).get("username") or "unknown")

    async def observe(self) -> Workload:
        raw = await self._deployment()
        selector = _selector(raw)
        sets, raw_pods, owners = await asyncio.gather(
            replica_sets(self.api, self.ref.namespace, raw, selector),
            self._pods(selector),
            find_owners(self.api, self.ref.namespace, raw),
        )
        origins = {
            s["metadata"]["uid"]: PodOrigin(self._read(s["spec"]["template"]), s["metadata"]["name"]) for s in sets
        }
        pods = (read_pod(pod, origins) for pod in raw_pods)
        metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
        notes: Mapping[str, str] = metadata.get("annotations") or {}
        return Workload(
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            generation=int(metadata.get("generation") or 0),
            observed_generation=int(status.get("observedGeneration") or 0),
            paused=bool(spec.get("paused")),
            desired=int(spec.get("replicas", 1)),
            total=int(status.get("replicas") or 0),
            updated=int(status.get("updatedReplicas") or 0),
            available=int(status.get("availableReplicas") or 0),
            template=self._read(spec["template"]),
            epoch=_number(_label(metadata)) or 0,
            marks=newest(decode_marks((o["metadata"].get("annotations") or {}).get(MARKS, "")) for o in (raw, *sets)),
            owners=owners,
            run=notes.get(RUN, ""),
            template_manager=template_manager(raw),
            surged=surged(notes.get(STRATEGY, ""), spec.get("strategy") or {}),
            strategy=json.dumps(spec.get("strategy") or {}, sort_keys=True),
            stalled=_stalled(status),
            failure=_failure(status),
            pods=tuple(pod for pod in pods if pod is not None),
        )

    async def history(self) -> tuple[Revision, ...]:
        raw = await self._deployment()
        sets = await replica_sets(self.api, self.ref.namespace, raw, _selector(raw))
        current = self._read(raw["spec"]["template"])
        means = Means(self.api, self.ref.namespace)
        await means.look()
        revisions: list[Revision] = []
        for revision in read_revisions(sets, current, self._read):
            if revision.current:
                revisions.append(revision)
                continue
            can = await means.judge(parse(revision.template))
            revisions.append(replace(revision, runnable=can.verdict, why_not=can.why))
        return tuple(revisions)

    async def overlay(self, wanted: Template, current: Template) -> Overlay:
        target, today = parse(wanted), parse(current)
        known: dict[tuple[str, str | None], bool | None] = {}
        # first pass collects what is asked for, the second has the answers: the overlay itself does no I/O
        overlay_secrets(target, today, lambda secret, key: known.setdefault((secret, key), None))
        for secret, key in known:
            known[secret, key] = await self._secret_exists(secret)
        body, notes = overlay_secrets(target, today, lambda secret, key: known.get((secret, key)))
        return Overlay(self._read(body), tuple(notes))

    def replace_template(
        self, seen: Workload, wanted: Template, marks: Mapping[str, Mark], *, at_once: bool, run: str
    ) -> Change:
        operations: list[Json] = [{"op": "replace", "path": "/spec/template", "value": parse(wanted)}]
        operations.append(_annotate(RUN, run))
        if marks:
            operations.append(_annotate(MARKS, encode_marks(added(seen.marks, marks))))
        surge = _surge(seen) if at_once else []
        operations += surge
        return Change(
            kind="template",
            target=self.target,
            summary=f"template {seen.template.label} → {wanted.label}{', all replicas at once' if surge else ''}",
            precondition=seen.version,
            body=json.dumps(operations),
        )

    def restore_strategy(self, seen: Workload) -> Change | None:
        if not seen.surged:
            return None
        operations = [
            {"op": "replace", "path": "/spec/strategy", "value": json.loads(seen.surged)},
            {"op": "remove", "path": f"/metadata/annotations/{_escape(STRATEGY)}"},
        ]
        return Change(
            kind="strategy",
            target=self.target,
            summary=f"strategy back to {seen.surged}",
            precondition=seen.version,
            body=json.dumps(operations),
        )

    def mark(self, seen: Workload, marks: Mapping[str, Mark]) -> Change | None:
        new = {r: m for r, m in marks.items() if r not in seen.marks or seen.marks[r].standing != m.standing}
        if not new:
            return None
        return Change(
            kind="marks",
            target=self.target,
            summary=", ".join(f"{release[:10]} is {mark.standing}" for release, mark in new.items()),
            precondition=seen.version,
            body=json.dumps([_annotate(MARKS, encode_marks(added(seen.marks, new)))]),
        )

    def replace_pod(self, seen: Workload, pod: Pod) -> Change | None:
        if pod.uid not in {p.uid for p in seen.live_pods}:
            return None
        return Change(
            kind=POD,
            target=f"Pod {self.ref.namespace}/{pod.name}, context {self.api.context}",
            summary=f"evict {pod.name}",
            precondition=seen.version,
            body=json.dumps({"name": pod.name, "uid": pod.uid}),
        )

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        tests: list[Json] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": change.precondition},
            {"op": "test", "path": f"/metadata/labels/{_escape(EPOCH)}", "value": str(fence.epoch)},
        ]
        body = json.loads(change.body)
        operations: list[Json] = [] if change.kind == POD else body  # tests alone change nothing, and still answer
        try:
            after = await self.api.json_patch(self._path, tests + operations)
        except Conflict:
            await self._lost(fence)
            raise
        if change.kind == POD:
            await self._evict(body)
        metadata = after["metadata"]
        return Receipt(
            change=change.summary,
            accepted=f"resourceVersion {metadata['resourceVersion']}, generation {metadata.get('generation')}",
            at=self._clock.now(),
        )

    async def _evict(self, pod: Json) -> None:
        """End a pod, if a PodDisruptionBudget lets it.

        That our right holds, the patch before it has shown: the eviction itself can only be bound to the pod's uid, so
        that a late one never ends another pod (B3).
        """
        path = f"/api/v1/namespaces/{self.ref.namespace}/pods/{pod['name']}/eviction"
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod["name"], "namespace": self.ref.namespace},
            "deleteOptions": {"preconditions": {"uid": pod["uid"]}},
        }
        try:
            await self.api.create(path, body)
        except (NotFound, Conflict):
            return  # it is gone, or another one has its name: what was wanted

    async def stamp_epoch(self, epoch: int) -> None:
        """Write a new lease epoch on the Deployment, so that patches of former epochs are refused from here on.

        Raises:
            LeaseLost: a later epoch is there already. Refused: what is there is no epoch. NotFound, Forbidden,
            Unreachable.
        """
        for attempt in range(1, STAMPS + 1):
            raw = await self._deployment()
            there = self._valid_epoch(raw["metadata"])
            if there == epoch:
                return
            if there > epoch:
                raise LeaseLost(f"{self.target} carries epoch {there}, ours is {epoch}: somebody else took over.")
            operations: list[Json] = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": raw["metadata"]["resourceVersion"]}
            ]
            if not raw["metadata"].get("labels"):
                operations.append({"op": "add", "path": "/metadata/labels", "value": {}})
            operations.append({"op": "add", "path": f"/metadata/labels/{_escape(EPOCH)}", "value": str(epoch)})
            try:
                await self.api.json_patch(self._path, operations)
            except Conflict:
                await self._clock.sleep(0.05 * attempt)  # a status update came between
                continue
            return
        raise Unreachable(
            f"{self.target} changed {STAMPS} times while the epoch of our lease was being written on it. The right to "
            "act is not established; nothing else was changed.",
            remedy=f"See who writes to it without pause: `kubectl --namespace {self.ref.namespace} get deployment "
            f"{self.ref.name} --watch --show-managed-fields -o yaml`.",
        )

    async def epoch(self) -> int:
        """The epoch stamped on the Deployment, 0 if there is none.

        Raises:
            Refused: what is there is no epoch, or the last one that can be counted. NotFound, Forbidden, Unreachable.
        """
        return self._valid_epoch((await self._deployment())["metadata"])

    async def room(self, wanted: Template, replicas: int) -> Room:
        return await room_for(self.api, self.ref.namespace, parse(wanted), replicas)

    async def routing(self) -> Routing:
        _, pods = await self._own_pods()
        routing = await read_routing(self.api, self.ref, pods, self._via)
        return replace(routing, service=Place("service", self._url)) if self._url else routing

    async def usage(self) -> tuple[Usage, ...] | None:
        raw = await self._deployment()
        return await read_usage(self.api, self.ref.namespace, _selector(raw))

    async def facts(self) -> tuple[PodFacts, ...]:
        selector, pods = await self._own_pods()
        return await read_facts(self.api, self.ref.namespace, selector, pods, self._kills)

    async def close(self) -> None:
        await self.api.close()

    async def _deployment(self) -> Json:
        try:
            return await self.api.get(self._path)
        except NotFound as error:
            raise NotFound(
                f"There is no {self.target}.",
                remedy="Check platform.namespace and platform.deployment in the profile.",
            ) from error

    async def _own_pods(self) -> tuple[str, list[Json]]:
        """The selector, and the live pods of the Deployment's own ReplicaSets: labels alone can be shared."""
        raw = await self._deployment()
        selector = _selector(raw)
        sets, pods = await asyncio.gather(
            replica_sets(self.api, self.ref.namespace, raw, selector), self._pods(selector)
        )
        own = {s["metadata"]["uid"] for s in sets}
        return selector, [p for p in pods if live(p) and owner_of(p) in own]

    async def _pods(self, selector: str) -> list[Json]:
        return await self.api.list_all(f"/api/v1/namespaces/{self.ref.namespace}/pods", labelSelector=selector)

    async def _secret_exists(self, secret: str) -> bool | None:
        """Asks for the secret's own metadata only; its values never reach this process (least privilege)."""
        path = f"/api/v1/namespaces/{self.ref.namespace}/secrets/{secret}"
        try:
            await self.api.metadata(path)
        except NotFound:
            return False
        except (Forbidden, Unreachable):
            return None
        return True

    async def _lost(self, fence: Fence) -> None:
        there = _label((await self._deployment())["metadata"])
        if there != str(fence.epoch):
            carries = f"it carries epoch {there}" if there else f"its label {EPOCH} is gone"
            raise LeaseLost(
                f"{self.target} refused our change: {carries}, ours is {fence.epoch}.",
                remedy="The right to act is no longer ours: the lease was taken over, changed or deleted. If another "
                "Code Blue has it now, look at `codeblue status` there.",
            )

    def _valid_epoch(self, metadata: Json) -> int:
        epoch = _number(text := _label(metadata))
        if epoch is None:
            raise Refused(
                f"{self.target} has the label {EPOCH}={text}, which is no epoch of Code Blue's: somebody else wrote "
                "it. While it is there nobody can get the right to act; nothing was changed.",
                remedy=f"Find out who wrote it, then remove it: `kubectl --namespace {self.ref.namespace} label "
                f"deployment {self.ref.name} {EPOCH}-`.",
            )
        return epoch

    def _read(self, raw: Json) -> Template:
        return read_template(raw, self.ref.container, self.ref.version_env)


def _selector(raw: Json) -> str:
    selector = raw["spec"]["selector"]
    parts = [f"{k}={v}" for k, v in (selector.get("matchLabels") or {}).items()]
    operators = {"In": "in", "NotIn": "notin"}
    for rule in selector.get("matchExpressions") or []:
        key, operator = rule["key"], rule["operator"]
        match operator:
            case "In" | "NotIn":
                parts.append(f"{key} {operators[operator]} ({','.join(rule['values'])})")
            case "Exists":
                parts.append(key)
            case _:
                parts.append(f"!{key}")
    return ",".join(parts)


def _label(metadata: Json) -> str:
    return str((metadata.get("labels") or {}).get(EPOCH, ""))


def _number(label: str) -> int | None:
    """The epoch that a label says (none: 0), None where it is no number or has no successor."""
    text = label or "0"
    return int(text) if text.isascii() and text.isdigit() and int(text) < INT32_MAX else None


def _stalled(status: Json) -> str:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return str(condition.get("message") or "progress deadline exceeded")
    return ""


def _failure(status: Json) -> str:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return str(condition.get("message") or condition.get("reason") or "pods cannot be created")
    return ""


def _surge(seen: Workload) -> list[Json]:
    """The operations that let all replicas be replaced at once, and keep the former strategy beside it."""
    former = json.loads(seen.strategy)
    if seen.surged or former.get("type") == "Recreate" or former == _at_once(former):
        return []  # set aside already, or it replaces all at once anyway
    return [
        {"op": "replace", "path": "/spec/strategy", "value": _at_once(former)},
        _annotate(STRATEGY, seen.strategy),
    ]


def _at_once(former: Json) -> Json:
    return {"type": "RollingUpdate", "rollingUpdate": {**(former.get("rollingUpdate") or {}), "maxSurge": ALL}}


def surged(kept: str, strategy: Json) -> str:
    """The strategy to put back in place of this one, by what the annotation kept; "" for none.

    Only what we set is taken back, and only while it is there: whatever a person changed meanwhile stays. Where the
    surge is another one the annotation is out of date, for `kubectl rollout undo` brings a ReplicaSet's annotations
    back, and among them one that was dealt with long ago. The annotation may be anybody's text: what could not have
    been a strategy is none.
    """
    rolling = strategy.get("rollingUpdate") or {}
    former = read_json(kept)
    if rolling.get("maxSurge") != ALL or not isinstance(former, dict):
        return ""
    if former.get("type") == "Recreate":
        return json.dumps({"type": "Recreate"})
    was = former.get("rollingUpdate") or {}
    if former.get("type") != "RollingUpdate" or not isinstance(was, dict):
        return ""
    surge = was.get("maxSurge")
    if surge == ALL or not (surge is None or _amount(surge)):
        return ""
    back = {k: v for k, v in rolling.items() if k != "maxSurge"} | ({} if surge is None else {"maxSurge": surge})
    return json.dumps({**strategy, "rollingUpdate": back}, sort_keys=True)


def _amount(value: object) -> bool:
    """Whether it is a number of pods or a percentage, as `maxSurge` has it."""
    if isinstance(value, str):
        return re.fullmatch(r"[0-9]{1,9}%", value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < INT32_MAX


def _escape(annotation: str) -> str:
    return annotation.replace("~", "~0").replace("/", "~1")


def _annotate(annotation: str, value: str) -> Json:
    return {"op": "add", "path": f"/metadata/annotations/{_escape(annotation)}", "value": value}
