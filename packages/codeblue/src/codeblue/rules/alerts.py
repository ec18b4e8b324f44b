"""Whom an alert is about: only one that is about our service may have anything done to it."""

from codeblue.profile.model import Profile
from codeblue.profile.platform import Kubernetes
from codeblue.record.alerts import AlertView


def concerns(alert: AlertView, profile: Profile) -> bool:
    """Whether an alert is about the service of a profile, as far as its labels say: one that says nothing is not.

    It is by its namespace and deployment, where both are the target's; or by its label `service`, unless it names
    another namespace or deployment (the same service runs elsewhere as well).
    """
    platform = profile.platform
    if not isinstance(platform, Kubernetes):
        return alert.service == profile.service
    place = (alert.namespace, alert.deployment)
    if place == (platform.namespace, platform.deployment):
        return True
    here = place[0] in ("", platform.namespace) and place[1] in ("", platform.deployment)
    return here and alert.service == profile.service
