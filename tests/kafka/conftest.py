"""The Kafka that knows its clients, which the tests of this room share."""

from collections.abc import Iterator

import pytest

from tests.support.secure_kafka import SecureKafka, running_secure_kafka


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with running_secure_kafka(tmp_path_factory.mktemp("secure")) as running:
        yield running
