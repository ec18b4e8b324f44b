"""The only module that names concrete adapters: a profile in, ports out. Imports are local, so that a verb loads only
what it needs: start-up is part of an emergency."""

import os
import socket
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from codeblue.adapters.clock import SystemClock
from codeblue.model.errors import UsageError
from codeblue.model.incident import Role
from codeblue.model.secret import Secret
from codeblue.ports.clock import Clock
from codeblue.ports.dead_man import DeadMan
from codeblue.ports.record import RecordStore
from codeblue.ports.status_page import StatusPage

if TYPE_CHECKING:
    from codeblue.adapters.signals.prometheus import PrometheusSignals
    from codeblue.adapters.signals.series import Vocabulary
    from codeblue.engine.state import StateDirectory
    from codeblue.model.target import Target
    from codeblue.ports.channel import Channel
    from codeblue.ports.commands import Commands
    from codeblue.ports.flags import FlagStore
    from codeblue.ports.lease import Lease
    from codeblue.ports.platform import Platform
    from codeblue.ports.prober import Prober
    from codeblue.ports.queries import Queries
    from codeblue.ports.signals import Signals
    from codeblue.profile.channels import Pages
    from codeblue.profile.model import Profile
    from codeblue.profile.platform import Kubernetes, Local
    from codeblue.runbooks.step import World


@dataclass(frozen=True, slots=True)
class App:
    """Everything that one service needs, connected."""

    profile: "Profile"
    world: "World"
    lease: "Lease"
    record: RecordStore
    state: "StateDirectory"
    clock: Clock

    async def close(self) -> None:
        """Release all connections."""
        await self.world.signals.close()
        await self.world.prober.close()
        await self.world.platform.close()
        if self.world.flags is not None:
            await self.world.flags.close()
        self.record.close()


def open_app(profile: "Profile") -> App:
    """Connect the profile's adapters to act; nothing is asked of the platform yet.

    Raises:
        UsageError: the profile names credentials, a file or a variable that cannot be used.
        Unreachable: the record cannot be opened. Refused: it belongs to another target. Damaged: it cannot be told.
    """
    from codeblue.adapters.record.owned import OwnedRecord
    from codeblue.adapters.report_directory import ReportDirectory
    from codeblue.engine.state import StateDirectory
    from codeblue.runbooks.step import World

    clock = SystemClock()
    target = target_of(profile)  # before the record is made: an unusable context leaves nothing behind
    record = OwnedRecord(open_store(profile), target, place=record_place(profile), acts=True)
    platform, prober, commands, lease = _platform(profile, clock)
    reports = ReportDirectory(profile.report.directory)
    signals = _signals(profile, platform, prober, clock)
    flags = _flags(profile, commands, clock)
    world = World(platform, prober, signals, commands, record, reports, clock, profile, flags)
    return App(profile, world, lease, record, StateDirectory(profile.state.directory), clock)


def open_channels(profile: "Profile", record: RecordStore | None = None) -> "tuple[Channel, ...]":
    """The channels that people are paged on, in the order of the profile; none of them is connected yet.

    Args:
        record: lets PagerDuty settle what an earlier process paged again; without it only the first page of each level.

    Raises:
        UsageError: a secret that one of them needs is missing, or holds something else.
    """
    from codeblue.profile.people import configured

    if profile.pages is None:
        return ()
    return tuple(_channel(profile.pages, profile.service, name, record) for name in configured(profile.pages))


def _channel(pages: "Pages", service: str, name: str, record: RecordStore | None) -> "Channel":
    match name:
        case "inbox" if pages.inbox is not None:
            from codeblue.adapters.inbox import Inbox

            return Inbox(pages.inbox)
        case "pagerduty":
            return _pagerduty(pages, service, record)
        case "slack":
            return _slack(pages)
        case "apprise" if pages.apprise is not None:
            from codeblue.adapters.apprise_channel import AppriseChannel

            texts = {Role(r): ref.resolve(f"pages.apprise.{r}") for r, ref in pages.apprise.items()}
            return AppriseChannel({role: _lines(text) for role, text in texts.items()})
    raise UsageError(f"pages: there is no channel {name} in this version", remedy="delete its keys from pages")


def _lines(text: Secret) -> list[Secret]:
    return [Secret(line.strip()) for line in text.reveal().splitlines() if line.strip()]


def _pagerduty(pages: "Pages", service: str, record: RecordStore | None) -> "Channel":
    from codeblue.adapters.pagerduty import BASE, PagerDutyChannel

    given, short = pages.pagerduty, pages.pagerduty_routing_key
    shared = short.resolve("pages.pagerduty_routing_key") if short is not None else None
    own: dict[Role, Secret] = {}
    if given is not None:
        shared = given.routing_key.resolve("pages.pagerduty.routing_key") if given.routing_key is not None else None
        own = {Role(r): ref.resolve(f"pages.pagerduty.roles.{r}") for r, ref in given.roles.items()}
    keys = ({} if shared is None else dict.fromkeys(Role, shared)) | own
    sent = partial(_paged_on, record, PagerDutyChannel.name) if record is not None else None
    return PagerDutyChannel(keys, service, base=BASE if given is None else given.api, sent=sent)


def _slack(pages: "Pages") -> "Channel":
    from codeblue.adapters.slack import SlackChannel

    given, short = pages.slack, pages.slack_webhook
    if given is None:
        return SlackChannel(webhook=short.resolve("pages.slack_webhook") if short is not None else None)
    return SlackChannel(
        token=given.token.resolve("pages.slack.token") if given.token is not None else None,
        channel=given.channel or "",
        webhook=given.webhook.resolve("pages.slack.webhook") if given.webhook is not None else None,
        roles=None if given.roles is None else [Role(r) for r in given.roles],
        base=given.api,
    )


def _paged_on(record: RecordStore, channel: str, incident: str) -> list[str]:
    """The keys by which a provider knows the pages of an incident that were meant for it."""
    from codeblue.model.reply import level_key

    meant = [e.data for e in record.read(incident=incident, kinds=("page.intended",))]
    return [level_key(incident, d["level"], d["cycle"]) for d in meant if d["channel"] == channel]


def open_status_page(profile: "Profile") -> StatusPage | None:
    """The public status page; None where the profile has none. Raises UsageError: its key is missing."""
    given = profile.status_page
    if given is None:
        return None
    from codeblue.adapters.statuspage import Statuspage

    return Statuspage(
        given.page,
        given.api_key.resolve("status_page.api_key"),
        title=given.title,
        service=profile.service,
        components=given.components,
        affected=given.affected,
        impact=given.impact,
        base=given.api,
    )


def system_clock() -> Clock:
    """The machine's own clocks."""
    return SystemClock()


def open_record(profile: "Profile") -> RecordStore:
    """The record of the profile's service, to look at it and to leave a word for whoever acts. Raises as `open_app`."""
    from codeblue.adapters.record.owned import OwnedRecord

    return OwnedRecord(open_store(profile), profile.target, place=record_place(profile), acts=False)


def open_record_file(file: Path, service: str, target: "Target") -> RecordStore:
    """As `open_record`, for a caller that knows the file and needs no profile for it."""
    from codeblue.adapters.record.owned import OwnedRecord
    from codeblue.adapters.record.sqlite import SqliteRecord

    return OwnedRecord(SqliteRecord(file, service, SystemClock()), target, place=str(file), acts=False)


def target_of(profile: "Profile") -> "Target":
    """What is protected, with the fingerprints of its place. Raises UsageError: the context cannot be used."""
    from codeblue.profile.platform import Kubernetes, Local

    match profile.platform:
        case Kubernetes(context=context, kubeconfig=kubeconfig):
            from codeblue.adapters.kubernetes.api import load_config
            from codeblue.adapters.kubernetes.authority import authorities

            return replace(profile.target, place=authorities(load_config(context, kubeconfig)))
        case Local():
            from codeblue.adapters.local.machine import machine

            return replace(profile.target, place=machine())
        case never:
            assert_never(never)


def open_store(profile: "Profile") -> RecordStore:
    """The store itself, whosever record is in it. Raises UsageError, Unreachable."""
    if profile.state.database is not None:
        from codeblue.adapters.record.postgres import PostgresRecord

        return PostgresRecord(profile.state.database.resolve(), profile.service, SystemClock())
    from codeblue.adapters.record.sqlite import SqliteRecord

    return SqliteRecord(record_file(profile), profile.service, SystemClock())


def record_file(profile: "Profile") -> Path:
    """Where the record is without a database."""
    return profile.state.directory / "record.db"


def record_place(profile: "Profile") -> str:
    """Where the record is, for messages; of a database only where its URL is found."""
    database = profile.state.database
    if database is None:
        return str(record_file(profile))
    return f"PostgreSQL ({f'environment variable {database.env}' if database.env else f'URL in {database.file}'})"


def engine_database(profile: "Profile") -> str:
    """The SQLAlchemy URL of the engine's own tables, beside the record. It can hold a password: never print it."""
    if profile.state.database is None:
        return f"sqlite:///{profile.state.directory / 'engine.db'}"
    url = profile.state.database.resolve().reveal()
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg{separator}{rest}" if scheme in ("postgres", "postgresql") else url


def dead_man_of(profile: "Profile") -> DeadMan | None:
    """Who outside watches us; None where the profile names nobody. Raises UsageError: the reference leads nowhere."""
    if profile.watchdog.url is None:
        return None
    from codeblue.adapters.dead_man import HttpDeadMan

    return HttpDeadMan(profile.watchdog.url.resolve("watchdog.url"))


def holder_name() -> str:
    """Our name in a lease: unique to this process on this machine."""
    return f"{socket.gethostname()}/{os.getpid()}/{os.urandom(3).hex()}"


def _platform(profile: "Profile", clock: Clock) -> "tuple[Platform, Prober, Commands, Lease]":
    from codeblue.profile.platform import Kubernetes, Local

    match profile.platform:
        case Kubernetes() as at:
            return _kubernetes(profile, at, clock)
        case Local() as at:
            return _local(profile, at, clock)
        case never:
            assert_never(never)


def _kubernetes(profile: "Profile", at: "Kubernetes", clock: Clock) -> "tuple[Platform, Prober, Commands, Lease]":
    from codeblue.adapters.http_prober import HttpProber
    from codeblue.adapters.kubernetes.api import Api, load_config
    from codeblue.adapters.kubernetes.commands import PodCommands
    from codeblue.adapters.kubernetes.lease import KubernetesLease
    from codeblue.adapters.kubernetes.platform import KubernetesPlatform
    from codeblue.adapters.kubernetes.prober import proxy_prober
    from codeblue.adapters.kubernetes.ref import DeploymentRef, Via
    from codeblue.adapters.subprocess_commands import SubprocessCommands

    config = load_config(at.context, at.kubeconfig)
    api = Api(config)
    ref = DeploymentRef(at.namespace, at.deployment, at.service, at.port, at.container, at.version_env)
    health = profile.health
    straight = health.via in ("direct", "url") or (health.via == "auto" and at.context == "in-cluster")
    via = Via.DIRECT if straight else Via.APISERVER
    platform = KubernetesPlatform(api, ref, clock, via, url=health.url)
    field = health.version_field or ""
    prober = HttpProber(field) if straight else proxy_prober(config, field)
    offered = profile.contract.commands
    commands: Commands = SubprocessCommands(offered)
    if profile.contract.run_in == "pod":
        commands = PodCommands(offered, config, platform)
    lease = KubernetesLease(api, platform, f"codeblue-{profile.service}", profile.lease.duration, clock)
    return platform, prober, commands, lease


def _local(profile: "Profile", at: "Local", clock: Clock) -> "tuple[Platform, Prober, Commands, Lease]":
    from codeblue.adapters.http_prober import HttpProber
    from codeblue.adapters.local.lease import LocalLease
    from codeblue.adapters.local.platform import LocalPlatform
    from codeblue.adapters.subprocess_commands import SubprocessCommands

    platform = LocalPlatform(at.directory, clock)
    commands = SubprocessCommands(profile.contract.commands)
    lease = LocalLease(at.directory, clock, duration_s=profile.lease.duration)
    prober = HttpProber(profile.health.version_field or "")
    return platform, prober, commands, lease


def _flags(profile: "Profile", commands: "Commands", clock: Clock) -> "FlagStore | None":
    """Where the feature flags are; None where the profile does not say."""
    from codeblue.profile.platform import Kubernetes

    given = profile.flag_store
    if given is None:
        if {"flags_status", "flags_set"} <= set(profile.contract.commands):
            from codeblue.adapters.flags.commands import CommandFlags

            return CommandFlags(commands, clock)
        return None
    if given.flagd_file is not None:
        from codeblue.adapters.flags.flagd_file import FlagdFile

        return FlagdFile(given.flagd_file, clock)
    if given.unleash is not None:
        from codeblue.adapters.flags.unleash import Unleash

        at = given.unleash
        shares = [name for name, value in profile.flags.items() if not isinstance(value, bool)]
        token = at.token.resolve("flag_store.unleash.token")
        return Unleash(at.url, token, clock, environment=at.environment, project=at.project, shares=shares)
    if given.config_map is None or not isinstance(profile.platform, Kubernetes):
        raise ValueError("flag_store")  # the profile's validation has refused that
    from codeblue.adapters.flag_document import Form
    from codeblue.adapters.kubernetes.api import Api, load_config
    from codeblue.adapters.kubernetes.flags import ConfigMapFlags

    where, there = given.config_map, profile.platform
    api = Api(load_config(there.context, there.kubeconfig))
    return ConfigMapFlags(api, there.namespace, where.name, where.key, clock, form=Form(where.form))


def open_queries(profile: "Profile") -> "Queries | None":
    """The profile's Prometheus, to be asked in its own language (R23); None where there is none. Close it after use."""
    return _prometheus(profile, SystemClock()) if profile.signals.prometheus is not None else None


def _signals(profile: "Profile", platform: "Platform", prober: "Prober", clock: Clock) -> "Signals":
    """The metrics' source as the profile says, with what the platform knows of the pods beside it."""
    from codeblue.adapters.signals.facts import PlatformFacts
    from codeblue.adapters.signals.merged import MergedSignals

    sources: dict[str, Signals] = {}
    match profile.signal_source:
        case "scrape":
            sources["scrape"] = _scraped(profile, prober, clock, profile.signals.timeout)
        case "prometheus":
            if profile.contract.metrics is not None:
                from codeblue.adapters.signals.fallback import FallbackSignals

                # both within the limit of one look
                half_s = profile.signals.timeout / 2
                first, second = _prometheus(profile, clock, half_s), _scraped(profile, prober, clock, half_s)
                sources["prometheus"] = FallbackSignals(first, second)
            else:
                sources["prometheus"] = _prometheus(profile, clock)
        case "none":
            pass
        case never:
            assert_never(never)
    sources["platform"] = PlatformFacts(platform, clock)
    return MergedSignals(sources, clock, timeout_s=profile.signals.timeout)


def _scraped(profile: "Profile", prober: "Prober", clock: Clock, timeout_s: float) -> "Signals":
    from codeblue.adapters.signals.scrape import ScrapedSignals

    path = profile.contract.metrics or "/metrics"
    return ScrapedSignals(prober, path, _vocabulary(profile), clock, timeout_s=timeout_s)


def _prometheus(profile: "Profile", clock: Clock, timeout_s: float | None = None) -> "PrometheusSignals":
    from codeblue.adapters.signals.prometheus import PrometheusSignals

    at = profile.signals.prometheus
    if at is None:
        raise ValueError("signals.prometheus")  # the profile's validation has refused that
    limit_s = profile.signals.timeout if timeout_s is None else timeout_s
    return PrometheusSignals(at, profile.service, _vocabulary(profile), clock, timeout_s=limit_s)


def _vocabulary(profile: "Profile") -> "Vocabulary":
    from codeblue.adapters.signals.series import Vocabulary

    return Vocabulary(profile.signals.names, profile.ignored_routes)
