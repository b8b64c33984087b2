"""ACLs are generated from the list of principals, and compared with those of Kafka."""

import json

import pytest
import yaml

from vpp_streams.kafka.access.acls import Acl, acls_of, difference, wanted_acls
from vpp_streams.kafka.access.documents import as_commands, as_json, as_strimzi
from vpp_streams.kafka.access.principals import PRINCIPALS, principal


def test_a_role_may_describe_its_namespace_and_use_its_own_topics() -> None:
    assert acls_of(principal("sim"), "demo") == {
        Acl("vpp-sim", "Describe", "topic", "demo.", "prefixed"),
        Acl("vpp-sim", "Read", "topic", "demo.grid.frequency"),
        Acl("vpp-sim", "Read", "topic", "demo.records.rejected"),
        Acl("vpp-sim", "Write", "topic", "demo.records.rejected"),
        Acl("vpp-sim", "Write", "topic", "demo.health"),
    }


def test_a_worker_has_its_group_and_its_transactions() -> None:
    found = acls_of(principal("fleet"), "")
    assert Acl("vpp-fleet", "Read", "group", "fleet") in found
    assert Acl("vpp-fleet", "Write", "transactional-id", "fleet.", "prefixed") in found


@pytest.mark.parametrize("namespace", ["", "demo"])
def test_applying_twice_changes_nothing(namespace: str) -> None:
    wanted = wanted_acls(namespace)
    change = difference(wanted, wanted, namespace)
    assert (change.add, change.remove) == ((), ())


@pytest.mark.parametrize("namespace", ["", "demo"])
def test_what_a_role_has_too_much_is_removed(namespace: str) -> None:
    wanted = wanted_acls(namespace)
    name = "demo.ledger.decisions" if namespace else "ledger.decisions"
    extra = Acl("vpp-gateway", "Write", "topic", name)
    assert difference(wanted, {*wanted, extra}, namespace).remove == (extra,)


def test_acls_of_another_namespace_stay() -> None:
    other = wanted_acls("other")
    change = difference(wanted_acls("demo"), other, "demo")
    assert change.remove == ()
    assert set(change.add) == wanted_acls("demo")


def test_the_commands_name_every_acl_and_quota() -> None:
    lines = as_commands("demo", "kafka:9092").splitlines()
    sim = [line for line in lines if "User:vpp-sim" in line or "--entity-name vpp-sim" in line]
    assert len(sim) == 4
    assert any("--operation Read --topic demo.grid.frequency" in line for line in sim)
    assert any("producer_byte_rate=2097152" in line for line in sim)
    assert sum("User:vpp-gateway" in line for line in lines) >= 3


def test_json_and_strimzi_have_every_acl() -> None:
    users = json.loads(as_json("demo", ""))
    assert {user["user"] for user in users} == {one.user for one in PRINCIPALS}
    resources = list(yaml.safe_load_all(as_strimzi("demo", "")))
    for one, plain, resource in zip(PRINCIPALS, users, resources, strict=True):
        count = len(acls_of(one, "demo"))
        assert sum(len(acl["names"]) for acl in plain["acls"]) == count
        acls = resource["spec"]["authorization"]["acls"]
        assert sum(len(acl["operations"]) for acl in acls) == count
        assert resource["metadata"]["name"] == one.user
