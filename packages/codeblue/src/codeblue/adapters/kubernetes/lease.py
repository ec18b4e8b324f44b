"""The lease port on a coordination.k8s.io Lease, with its epoch stamped on the Deployment."""

from datetime import UTC, datetime

from codeblue.adapters.kubernetes.api import Api, Json
from codeblue.adapters.kubernetes.platform import INT32_MAX, KubernetesPlatform
from codeblue.model.change import Fence, LeaseView
from codeblue.model.errors import Conflict, LeaseHeld, LeaseLost, NotFound, Refused
from codeblue.ports.clock import Clock

#: What a lost lease means.
NOT_OURS = "The right to act is no longer ours: the lease was taken over, changed or deleted. This one stands down."
#: How often a waiting candidate looks whether the holder is still alive.
LOOK_EVERY_S = 0.5
#: What is believed at most of a foreign lease's duration. It is anybody's number, up to 68 years.
BELIEVED_S = 600.0
#: How long a lease is watched in silence: the longest that a profile can ask for. A longer one is not of our making.
PATIENCE_S = 60.0


class KubernetesLease:
    """Keeps `ports.lease.Lease`.

    As in client-go's leader election, expiry is judged by watching the record stay unchanged on our own monotonic
    clock. The epoch is the larger of `leaseTransitions` and what the Deployment carries, plus one: it grows even when
    somebody deletes the Lease object.

    A lease that says it lasts longer than ours can is not waited for: it is refused at once, for ten minutes from its
    last renewal at most, and then watched like any other.
    """

    def __init__(self, api: Api, platform: KubernetesPlatform, name: str, duration_s: float, clock: Clock) -> None:
        self._api, self._platform, self._name, self._clock = api, platform, name, clock
        self._duration_s = duration_s
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{platform.ref.namespace}/leases"

    async def view(self) -> LeaseView | None:
        raw = await self._get()
        return _view(raw) if raw and raw["spec"].get("holderIdentity") else None

    async def acquire(self, holder: str, *, predecessor: str = "") -> Fence:
        watched: str | None = None
        since = self._clock.monotonic()
        while True:
            raw = await self._get()
            if raw is None or self._free(raw, holder, predecessor):
                if watched is not None:
                    raise LeaseHeld(
                        f"Somebody else acted on {self._platform.target} until a moment ago. Nothing was changed.",
                        remedy="Look at how it is now (`codeblue check --live`), then decide again.",
                    )
                try:
                    return await self._take(raw, holder)
                except Conflict:
                    continue  # somebody else was quicker; look at who
            version = raw["metadata"]["resourceVersion"]
            view = _view(raw)
            self._refuse_long(view)
            if watched is None:
                watched, since = version, self._clock.monotonic()
            elif version != watched:
                raise LeaseHeld(
                    f"{view.holder} acts on {self._platform.target} at this moment (epoch {view.epoch}); it renewed "
                    f"the lease {self._name} while we watched. Nothing was changed.",
                    remedy="Look at its run with `codeblue run list` there, and let it finish or abort it there.",
                )
            if self._clock.monotonic() - since > min(view.duration_s, PATIENCE_S):
                try:
                    return await self._take(raw, holder)
                except Conflict:
                    watched = None  # it woke up, or a third one was quicker
                    continue
            await self._clock.sleep(LOOK_EVERY_S)

    async def renew(self, fence: Fence) -> None:
        for _ in range(3):  # a conflict is somebody else's write: look whose
            raw = await self._mine(fence)
            raw["spec"]["renewTime"] = _micro(self._clock.now())
            try:
                await self._api.replace(f"{self._path}/{self._name}", raw)
            except Conflict:
                continue
            return
        raise LeaseLost(f"The lease {self._name} changes under our hands; somebody else is taking it.", remedy=NOT_OURS)

    async def release(self, fence: Fence) -> None:
        try:
            raw = await self._mine(fence)
        except LeaseLost:
            return
        raw["spec"]["holderIdentity"] = ""
        try:
            await self._api.replace(f"{self._path}/{self._name}", raw)
        except Conflict:
            return  # taken over in between: no longer ours to release

    async def _get(self) -> Json | None:
        try:
            return await self._api.get(f"{self._path}/{self._name}")
        except NotFound:
            return None

    async def _mine(self, fence: Fence) -> Json:
        raw = await self._get()
        if raw is None or raw["spec"].get("holderIdentity") != fence.holder or _epoch(raw) != fence.epoch:
            now = f"held by {raw['spec'].get('holderIdentity') or 'nobody'}" if raw else "gone"
            raise LeaseLost(
                f"The lease {self._name} is {now}; ours was epoch {fence.epoch}.",
                remedy=NOT_OURS,
            )
        return raw

    def _refuse_long(self, view: LeaseView) -> None:
        believed = min(view.duration_s, BELIEVED_S)
        passed = (self._clock.now() - view.renewed).total_seconds() if view.renewed else 0.0
        left = min(believed - passed, believed)
        if view.duration_s <= PATIENCE_S or left <= 0:
            return
        raise LeaseHeld(
            f"{view.holder} acts on {self._platform.target} (epoch {view.epoch}): its lease {self._name} runs for "
            f"another {left:.0f} s, if it is not renewed. Nothing was changed.",
            remedy=f"Let it finish. If {view.holder} is gone for certain, remove its lease: "
            f"`kubectl --namespace {self._platform.ref.namespace} delete lease {self._name}`.",
        )

    def _free(self, raw: Json, holder: str, predecessor: str) -> bool:
        return raw["spec"].get("holderIdentity") in (None, "", holder, predecessor or None)

    async def _take(self, raw: Json | None, holder: str) -> Fence:
        stamped = await self._platform.epoch()
        epoch = max(_epoch(raw) if raw else 0, stamped) + 1
        if epoch > INT32_MAX:
            raise Refused(
                f"The lease {self._name} has counted {epoch - 1} holders, and the API counts no further: somebody else "
                "wrote that number. Nobody can get the right to act with it; nothing was changed.",
                remedy=f"Find out who wrote it, then remove the lease: `kubectl --namespace "
                f"{self._platform.ref.namespace} delete lease {self._name}`.",
            )
        now = _micro(self._clock.now())
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._duration_s)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": epoch,
        }
        if raw is None:
            body: Json = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name},
                "spec": spec,
            }
            await self._api.create(self._path, body)
        else:
            await self._api.replace(f"{self._path}/{self._name}", {**raw, "spec": spec})
        fence = Fence(holder=holder, epoch=epoch, lease=self._name)
        try:
            await self._platform.stamp_epoch(epoch)
        except Refused:  # no permission, no Deployment, a later epoch: who cannot act must not keep others from it
            await self.release(fence)
            raise
        return fence


def _epoch(raw: Json) -> int:
    return int(raw["spec"].get("leaseTransitions") or 0)


def _view(raw: Json) -> LeaseView:
    renewed = raw["spec"].get("renewTime")
    return LeaseView(
        holder=str(raw["spec"].get("holderIdentity") or ""),
        epoch=_epoch(raw),
        renewed=datetime.fromisoformat(renewed).astimezone(UTC) if renewed else None,
        duration_s=float(raw["spec"].get("leaseDurationSeconds") or 15),
    )


def _micro(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
