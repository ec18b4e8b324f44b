"""Flags in a ConfigMap on a real API server: the shared contract, and what only a real server can refuse."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.flagd import evaluated

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.flag_document import Form
from codeblue.adapters.kubernetes.api import Api, load_config
from codeblue.adapters.kubernetes.flags import ConfigMapFlags
from codeblue.model.errors import Conflict, NotFound, Refused
from codeblue.testing.contracts.flags import FENCE, NAMES, OFF, OTHER, SHARE, SWITCH, FlagStoreContract, Harm

pytestmark = pytest.mark.cluster

NAME, KEY = "flags", "flags.json"
DOCUMENT = {
    "flags": {
        OTHER: {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"},
        SWITCH: {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"},
        SHARE: {"state": "ENABLED", "variants": {"all": 100}, "defaultVariant": "all"},
    }
}
PLAIN = {OTHER: True, SWITCH: True, SHARE: 100}


class Site:
    """One ConfigMap, as an administrator sees it."""

    def __init__(self, cluster, namespace):
        self.cluster, self.namespace = cluster, namespace
        self.config = load_config("codeblue-test", cluster.kubeconfig)
        self.apis, self.https = [], []

    def write(self, document: Any, **more: Any) -> None:
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": NAME, "labels": {"app": "x"}},
                "data": {KEY: json.dumps(document, indent=2), "other": "stays"},
                **more,
            },
            namespace=self.namespace,
        )

    @property
    def object(self) -> Any:
        return self.cluster.get("configmap", NAME, namespace=self.namespace)

    @property
    def document(self) -> Any:
        return json.loads(self.object["data"][KEY])

    def store(self, form: Form = Form.FLAGD) -> ConfigMapFlags:
        api = Api(self.config)
        self.apis.append(api)
        return ConfigMapFlags(api, self.namespace, NAME, KEY, SystemClock(), form=form)

    def down(self, store: ConfigMapFlags) -> None:
        """From now on it asks where nobody listens."""
        self.https.append(store._api.http)
        store._api.http = httpx2.AsyncClient(base_url="https://127.0.0.1:1", trust_env=False)


@pytest.fixture
async def site(cluster, namespace):
    site = Site(cluster, namespace)
    yield site
    for http in (*site.https, *(api.http for api in site.apis)):
        await http.aclose()


class TestDefinitions(FlagStoreContract):
    @pytest.fixture
    def store(self, site):
        site.write(DOCUMENT)
        return site.store()

    @pytest.fixture
    def evaluated(self, site, tmp_path: Path):
        def mounted(name):
            file = tmp_path / KEY
            file.write_text(site.object["data"][KEY])
            return evaluated(file, name, int if name == SHARE else bool)

        return mounted

    @pytest.fixture
    def harm(self, site):
        def do(name, how):
            document = site.document
            match how:
                case Harm.DELETED:
                    del document["flags"][name]
                case Harm.DISABLED:
                    document["flags"][name]["state"] = "DISABLED"
                case Harm.TARGETED:
                    document["flags"][name]["targeting"] = {"if": [{"==": [{"var": "user"}, "u-1"]}, "on", "off"]}
            site.write(document)

        return do

    @pytest.fixture
    def down(self, site, store):
        return lambda: site.down(store)


class TestPlain(TestDefinitions):
    harms = frozenset({Harm.DELETED})

    @pytest.fixture
    def store(self, site):
        site.write(PLAIN)
        return site.store(Form.PLAIN)

    @pytest.fixture
    def evaluated(self, site):
        def mounted(name):
            return site.document.get(name)

        return mounted

    @pytest.fixture
    def harm(self, site):
        return lambda name, how: site.write({n: v for n, v in site.document.items() if n != name})


@pytest.mark.defect("D58")
async def test_other_keys_and_labels_stay_and_a_late_patch_is_refused_by_the_server(site):
    site.write(DOCUMENT)
    store = site.store()
    change = store.change(await store.read(NAMES), OFF)
    stale = site.object["metadata"]["resourceVersion"]
    await store.apply(change, FENCE)
    assert site.object["data"]["other"] == "stays"
    assert site.object["metadata"]["labels"] == {"app": "x"}
    with pytest.raises(Conflict):
        await store._patch(stale, json.dumps(DOCUMENT))
    assert site.document["flags"][SWITCH]["defaultVariant"] == "off"


async def test_what_is_not_there_and_what_nobody_can_change(site):
    with pytest.raises(NotFound):
        await site.store().read(NAMES)
    site.write(DOCUMENT, immutable=True)
    store = site.store()
    change = store.change(await store.read(NAMES), OFF)
    with pytest.raises(Refused, match="immutable"):
        await store.apply(change, FENCE)
