"""The Helm chart, rendered and checked against Kubernetes' schemas and our own facts."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from schemas.bounds import GATEWAY_SLOTS, PARTITIONS
from tests.support.deployment import (
    CHART,
    EXAMPLES,
    OF_LAYOUT,
    ROLES,
    ROOT,
    Manifest,
    container,
    environment,
    helm,
    named,
    rendered,
    workloads,
)
from vpp_streams.kafka import topics
from vpp_streams.kafka.access.documents import as_strimzi
from vpp_streams.settings import Settings

OTHERS_KINDS = {"ScaledObject", "TriggerAuthentication", "PodMonitor"} | {
    "Kafka",
    "KafkaNodePool",
    "KafkaTopic",
    "KafkaUser",
}
"""Kinds of operators, whose schemas Kubernetes does not have."""
OF_OTHER_PARTS = {"VPP_KAFKA_", "VPP_STATUS_"}
"""Variables of Kafka's security and of the status port."""


@cache
def example(name: str) -> list[Manifest]:
    return rendered("--values", str(CHART / "examples" / f"{name}.yaml"))


def small(*settings: str) -> list[Manifest]:
    words = [word for setting in settings for word in ("--set", setting)]
    return rendered("--values", str(CHART / "examples" / "small.yaml"), *words)


def full(*settings: str) -> list[Manifest]:
    words = [word for setting in settings for word in ("--set", setting)]
    return rendered("--values", str(CHART / "examples" / "full.yaml"), *words)


def refused(*settings: str) -> str:
    words = [word for setting in settings for word in ("--set", setting)]
    values = str(CHART / "examples" / "small.yaml")
    done = helm("template", "vpp", str(CHART), "--values", values, *words)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_linted_and_valid(values: Path) -> None:
    linted = helm("lint", "--strict", str(CHART), "--values", str(values))
    assert linted.returncode == 0, linted.stdout + linted.stderr
    kinds = set()
    for manifest in example(values.stem):
        kinds.add(manifest["kind"])
        if manifest["kind"] not in OTHERS_KINDS:
            kubernetes_validate.validate(manifest, "1.37.0", strict=True)
    assert {"Deployment", "StatefulSet", "Service", "PodDisruptionBudget"} <= kinds


def strict(schema: Any) -> Any:
    """A CRD's schema in which a field that it does not name is a mistake."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(value) for name, value in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found["additionalProperties"] = False
    return found


@cache
def schemas_of_operators() -> dict[str, Any]:
    """The specification of each kind of `deploy/kube/crds.yaml`."""
    documents = yaml.safe_load_all((ROOT / "deploy" / "kube" / "crds.yaml").read_text())
    return {
        each["spec"]["names"]["kind"]: strict(
            each["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        )
        for each in documents
    }


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_what_is_for_operators_is_as_their_definitions_say(values: Path) -> None:
    for manifest in example(values.stem):
        if manifest["kind"] in OTHERS_KINDS:
            jsonschema.validate(manifest["spec"], schemas_of_operators()[manifest["kind"]])


def test_the_chart_has_exactly_the_roles_and_their_commands() -> None:
    every = workloads(example("full")) | workloads(full("layout=flow"))
    assert {
        role: container(workload)["args"][: len(ROLES[role])] for role, workload in every.items()
    } == ROLES
    assert set(yaml.safe_load((CHART / "values.yaml").read_text())["roles"]) == set(ROLES)


@pytest.mark.parametrize("layout", ["split", "flow"])
def test_the_roles_of_one_layout_run(layout: str) -> None:
    manifests = full(f"layout={layout}")
    (other,) = OF_LAYOUT.keys() - {layout}
    assert workloads(manifests).keys() == ROLES.keys() - OF_LAYOUT[other]
    for manifest in manifests:
        if manifest["kind"] not in OTHERS_KINDS:
            kubernetes_validate.validate(manifest, "1.37.0", strict=True)
        elif manifest["kind"] in schemas_of_operators():
            jsonschema.validate(manifest["spec"], schemas_of_operators()[manifest["kind"]])
    twins = {"split": "fleet", "flow": "flow"}[layout]
    for caller in ("web", "rpc"):
        url = environment(workloads(manifests)[caller])["VPP_FLEET_URL"]
        assert url == f"http://vpp-{twins}:6066"
        assert f"vpp-{caller}-to-{twins}" in named(manifests, "NetworkPolicy")
    assert "VPP_SERVICE_TOKEN" in environment(workloads(manifests)[twins])
    assert environment(workloads(manifests)[twins])["VPP_HOST"]["fieldRef"]
    reader = {"split": "ingest", "flow": "flow"}[layout]
    triggers = named(manifests, "ScaledObject")[f"vpp-{reader}"]["spec"]["triggers"]
    lags = [trigger["metadata"] for trigger in triggers if trigger["type"] == "kafka"]
    assert {lag["consumerGroup"] for lag in lags} == {"prod.ingest"}
    lag_login = named(manifests, "TriggerAuthentication")["vpp-kafka-lag"]["spec"]
    assert {found["containerName"] for found in lag_login["env"]} == {reader}
    assert environment(workloads(manifests)[reader])["VPP_KAFKA_SASL_USERNAME"] == f"vpp-{reader}"


def test_a_layout_that_is_none_is_refused() -> None:
    assert "layout" in refused("layout=both")


def test_a_gateways_slot_is_its_pods_index() -> None:
    gateway = workloads(example("full"))["gateway"]
    assert gateway["kind"] == "StatefulSet"
    assert container(gateway)["args"][1:] == ["--slot", "$(SLOT)"]
    field = environment(gateway)["SLOT"]["fieldRef"]["fieldPath"]
    assert field == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_no_role_may_have_more_replicas_than_have_work() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    roles = schema["properties"]["roles"]["properties"]
    most = {role: facts["properties"]["replicas"].get("maximum") for role, facts in roles.items()}
    assert most["gateway"] == GATEWAY_SLOTS
    assert most["ingest"] == most["fleet"] == most["flow"] == PARTITIONS
    assert most["historian"] == PARTITIONS
    assert most["web"] == 1
    assert "roles/gateway/replicas" in refused(f"roles.gateway.replicas={GATEWAY_SLOTS + 1}")


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_every_variable_is_a_setting(values: Path) -> None:
    known = {f"VPP_{name.upper()}" for name in Settings.model_fields} | {"VPP_SIM_SECRET", "SLOT"}
    manifests = example(values.stem)
    used = set(named(manifests, "ConfigMap")["vpp-settings"]["data"])
    for workload in workloads(manifests).values():
        used |= environment(workload).keys()
    assert not {name for name in used - known if not name.startswith(tuple(OF_OTHER_PARTS))}


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_every_pod_is_confined_probed_and_limited(values: Path) -> None:
    for role, workload in workloads(example(values.stem)).items():
        pod, only = workload["spec"]["template"]["spec"], container(workload)
        assert pod["securityContext"]["runAsNonRoot"], role
        assert not pod["automountServiceAccountToken"], role
        # A Service `vpp-web` would set VPP_WEB_PORT to tcp://...
        assert pod["enableServiceLinks"] is False, role
        assert only["securityContext"]["readOnlyRootFilesystem"], role
        assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}, role
        assert only["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "status"}, role
        assert only["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "status"}, role
        assert {"name": "status", "containerPort": 9100} in only["ports"], role
        assert only["resources"]["limits"]["memory"], role


def test_a_singleton_has_two_replicas_and_one_stays_in_an_upgrade() -> None:
    for role in ("region", "optimizer", "settlement", "incidents"):
        spec = workloads(example("small"))[role]["spec"]
        assert spec["replicas"] == 2, role
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, role


def test_every_role_with_several_replicas_has_a_disruption_budget() -> None:
    manifests = example("full")
    budgets = named(manifests, "PodDisruptionBudget")
    values = yaml.safe_load((CHART / "values.yaml").read_text())["roles"]
    here = values.keys() - OF_LAYOUT["flow"]
    several = {f"vpp-{role}" for role in here if values[role]["replicas"] > 1}
    assert set(budgets) == several
    for name, budget in budgets.items():
        pods = workloads(manifests)[name.removeprefix("vpp-")]["spec"]["template"]["metadata"]
        wanted = budget["spec"]["selector"]["matchLabels"].items()
        assert wanted <= pods["labels"].items()


def test_secrets_are_named_and_never_given() -> None:
    manifests = example("full")
    assert not named(manifests, "Secret")
    for role, workload in workloads(manifests).items():
        for name, value in environment(workload).items():
            if name in {"VPP_LEDGER", "VPP_SERVICE_TOKEN", "VPP_SIM_SECRET"}:
                assert "secretKeyRef" in value, f"{role}: {name}"


def test_only_the_roles_that_need_the_ledger_know_its_password() -> None:
    knowing = {
        role for role, w in workloads(example("full")).items() if "VPP_LEDGER" in environment(w)
    }
    assert knowing == {"settlement", "web"}


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("gateway.plain=false", "secrets.gatewayTls.name"),
        ("secrets.ledger.name=", "secrets.ledger.name"),
        ("secrets.serviceToken.name=", "secrets.serviceToken.name"),
        ("roles.identity.enabled=true", "secrets.authority.name"),
        ("roles.sim.enabled=true", "secrets.simulatedDevices.name"),
        ("kafka.bootstrap=kafka", "kafka/bootstrap"),
        ("settings.LEASE_S=3", "settings"),
        ("colour=red", "colour"),
    ],
)
def test_values_that_cannot_work_are_refused_with_their_name(setting: str, sentence: str) -> None:
    assert sentence in refused(setting)


def test_ingest_scales_by_the_lag_of_its_own_group_and_topics() -> None:
    scaled = named(example("full"), "ScaledObject")
    ingest = scaled["vpp-ingest"]["spec"]
    lags = [t["metadata"] for t in ingest["triggers"] if t["type"] == "kafka"]
    assert {lag["topic"] for lag in lags} == {topic.full("prod") for topic in topics.LIVE_RAW}
    assert {lag["consumerGroup"] for lag in lags} == {"prod.ingest"}
    assert scaled["vpp-fleet"]["spec"]["triggers"][0]["type"] == "prometheus"
    assert ingest["maxReplicaCount"] == PARTITIONS
    # What scales it decides how many there are.
    assert "replicas" not in workloads(example("full"))["ingest"]["spec"]


def test_without_keda_roles_scale_by_cpu() -> None:
    manifests = example("cpu")
    assert not named(manifests, "ScaledObject")
    assert set(named(manifests, "HorizontalPodAutoscaler")) == {
        "vpp-gateway",
        "vpp-ingest",
        "vpp-fleet",
    }


def test_strimzi_makes_every_topic_as_the_roles_would() -> None:
    made = named(example("full"), "KafkaTopic")
    every = (*topics.ALL, *topics.INTERNAL)
    assert {m["spec"]["topicName"]: m["spec"]["partitions"] for m in made.values()} == {
        topic.full("prod"): topic.partitions for topic in every
    }
    assert {m["spec"]["replicas"] for m in made.values()} == {3}


@pytest.mark.parametrize("namespace", ["prod", ""])
def test_strimzi_makes_each_role_the_user_that_the_command_prints(namespace: str) -> None:
    wanted = {
        u["metadata"]["name"]: u["spec"] for u in yaml.safe_load_all(as_strimzi(namespace, ""))
    }
    made = named(small("strimzi.users=true", f"kafka.namespace={namespace}"), "KafkaUser")
    assert {name: user["spec"] for name, user in made.items()} == wanted
    assert {user["metadata"]["labels"]["strimzi.io/cluster"] for user in made.values()} == {
        "vpp-kafka"
    }
    assert not named(small(), "KafkaUser")


@pytest.mark.parametrize(
    ("security", "signs_in", "parameters"),
    [
        ("SASL_SSL", {"sasl": "scram_sha512", "tls": "enable"}, {"username", "ca", "password"}),
        ("SASL_PLAINTEXT", {"sasl": "scram_sha512"}, {"username", "ca", "password"}),
        ("SSL", {"tls": "enable"}, {"ca", "cert", "key"}),
    ],
)
def test_the_lag_is_read_from_a_secured_kafka_as_ingest_signs_in(
    security: str, signs_in: dict[str, str], parameters: set[str]
) -> None:
    full = str(CHART / "examples" / "full.yaml")
    manifests = rendered("--values", full, "--set", f"kafka.security.protocol={security}")
    (one,) = named(manifests, "TriggerAuthentication").values()
    given = [*one["spec"].get("env", ()), *one["spec"]["secretTargetRef"]]
    assert {found["parameter"] for found in given} == parameters
    ingest = container(workloads(manifests)["ingest"])
    variables = environment(workloads(manifests)["ingest"])
    for found in one["spec"].get("env", ()):
        assert found["containerName"] == ingest["name"]
        assert variables[found["name"]] == "vpp-ingest"
    for trigger in named(manifests, "ScaledObject")["vpp-ingest"]["spec"]["triggers"]:
        if trigger["type"] == "kafka":
            assert trigger["authenticationRef"] == {"name": one["metadata"]["name"]}
            found = {k: v for k, v in trigger["metadata"].items() if k in ("sasl", "tls")}
            assert found == signs_in


def test_a_pod_is_reached_by_those_who_call_it_and_nobody_else() -> None:
    policies = named(example("full"), "NetworkPolicy")
    default = policies["vpp"]["spec"]
    assert set(default["policyTypes"]) == {"Ingress", "Egress"}
    (reached,) = default["ingress"]
    assert reached["ports"] == [{"port": "status", "protocol": "TCP"}]
    pages = policies["vpp-to-fleet"]["spec"]["ingress"][0]["from"]
    callers = {p["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for p in pages}
    assert callers >= {"web", "fleet"}
    assert "from" not in policies["vpp-to-gateway"]["spec"]["ingress"][0]


def test_the_history_on_one_node_keeps_its_readers_there() -> None:
    together = workloads(example("full"))
    for role in ("historian", "web"):
        assert together[role]["spec"]["template"]["spec"]["affinity"]["podAffinity"]
    apart = workloads(example("small"))
    assert "affinity" not in apart["historian"]["spec"]["template"]["spec"]


def test_changed_settings_restart_the_pods() -> None:
    def checksum(manifests: list[Manifest]) -> str:
        metadata = workloads(manifests)["region"]["spec"]["template"]["metadata"]
        return str(metadata["annotations"]["checksum/settings"])

    assert checksum(small()) != checksum(small("settings.VPP_LEASE_S=20"))
