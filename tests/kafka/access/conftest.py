"""A namespace with topics, users and ACLs, on the Kafka that knows its clients."""

import asyncio

import pytest

from tests.support.secure_kafka import SecureKafka
from tests.support.secured_roles import SecuredWorld


@pytest.fixture(scope="session")
def secured(secure_kafka: SecureKafka, tmp_path_factory: pytest.TempPathFactory) -> SecuredWorld:
    world = SecuredWorld(secure_kafka, "probed", tmp_path_factory.mktemp("secured"))
    asyncio.run(world.prepare())
    return world
