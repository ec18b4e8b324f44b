"""`codeblue local`: a service on this machine: start, deploy, stop (docs/local-platform.md)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from codeblue.cli.frame import Common, say, show
from codeblue.cli.template_file import read_template_file
from codeblue.model.errors import UsageError

if TYPE_CHECKING:
    from codeblue.profile.model import Profile

_DEFAULT = Common()

app = App(name="local", help="Run a service on this machine: start, deploy, stop.")


@app.command
def start(
    template: Path,
    *,
    replicas: int = 3,
    port: int | None = None,
    readiness: str = "/api/health",
    common: Common = _DEFAULT,
) -> int:
    """Start the profile's workload from a template; one that exists is only brought up again, with all that it had.

    Exit 3 where it exists on another port than the one asked for.

    Parameters
    ----------
    template
        YAML or JSON file: command, env, secrets (name to file), version.
    replicas
        How many processes a new workload has.
    port
        Where clients reach it, on 127.0.0.1; 8600 for a new workload.
    readiness
        Path that tells when a process of a new workload is ready.
    """
    from codeblue.adapters.local.deploy import seen
    from codeblue.adapters.local.deploy import start as start_local

    profile = common.load()
    directory = _directory(profile)
    started = start_local(
        directory,
        profile.workload,
        read_template_file(template),
        replicas=replicas,
        health_path=readiness,
        service_port=port,
    )
    state = seen(directory)
    asked = state.health_path
    if profile.signal_source != "none" and asked not in profile.ignored_routes:
        named = ", ".join(sorted({asked, *profile.ignored_routes}))
        say(
            f"What asks for {asked} to know that a process is ready counts as traffic of clients (R5, R6). "
            f"Next: Write `signals: {{ignore_routes: [{named}]}}` into the profile."
        )
    url = f"http://127.0.0.1:{state.service_port}"
    document = {"schema": "codeblue/local/1", "started": started, "url": url, "replicas": state.desired}
    count = f"{state.desired} {'replica' if state.desired == 1 else 'replicas'}"
    what = f"{state.template.label}, {count}" if started else f"already, {state.template.label}"
    show(common, document, f"{profile.workload} {'started' if started else 'runs'} ({what}): {url}")
    return 0


@app.command
def deploy(template: Path, *, common: Common = _DEFAULT) -> int:
    """Put a template in force, as a release pipeline does."""
    from codeblue.adapters.local.deploy import deploy as deploy_local

    profile = common.load()
    state = deploy_local(_directory(profile), read_template_file(template))
    document = {"schema": "codeblue/local/1", "release": state.template.release}
    show(common, document, f"{profile.workload}: {state.template.label} is in force; its processes follow one by one")
    return 0


@app.command
def stop(*, forget: Annotated[bool, Parameter(negative="")] = False, common: Common = _DEFAULT) -> int:
    """End everything that belongs to the workload.

    Parameters
    ----------
    forget
        Remove its history and logs as well.
    """
    from codeblue.adapters.local.deploy import stop as stop_local

    profile = common.load()
    directory = _directory(profile)
    there = stop_local(directory, forget=forget)
    text = f"{profile.workload} is stopped" if there else f"There is no workload in {directory}; nothing runs of it."
    show(common, {"schema": "codeblue/local/1", "stopped": True, "existed": there}, text)
    return 0


def _directory(profile: "Profile") -> Path:
    from codeblue.profile.platform import Local

    if not isinstance(profile.platform, Local):
        raise UsageError("The profile's platform is not local.", remedy="Set platform.kind: local, or use kubectl.")
    return profile.platform.directory
