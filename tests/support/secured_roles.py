"""Roles as processes, each as its own user of a Kafka that denies what nobody allowed."""

import asyncio
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.support.secure_kafka import SecureKafka
from vpp_streams.kafka.access.apply import apply_access, set_password
from vpp_streams.kafka.access.principals import PRINCIPALS, principal
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.local.supervisor import Spec
from vpp_streams.settings import Settings


class SecuredWorld:
    """A namespace whose topics, ACLs and passwords exist."""

    def __init__(self, kafka: SecureKafka, namespace: str, directory: Path) -> None:
        self.kafka = kafka
        self.namespace = namespace
        self.directory = directory
        self.admin = kafka.settings("plain", namespace=namespace)
        """Settings of a super user."""

    async def prepare(self) -> None:
        """Give Kafka all that the roles need, as `vpp kafka` does."""
        clients = KafkaClients(self.admin)
        await apply_access(clients)
        for one in PRINCIPALS:
            file = self.password_file(one.role)
            file.write_text(secrets.token_urlsafe(16))
            await set_password(clients, one, file.read_text())
        await ensure_topics(KafkaClients(self.settings("operator")))

    def password_file(self, role: str) -> Path:
        return self.directory / f"{role}.password"

    def settings(self, role: str, **given: object) -> Settings:
        """Settings of a role's clients: SCRAM, without encryption."""
        return self.kafka.settings(
            "sasl",
            namespace=self.namespace,
            state_dir=self.directory / "state",
            kafka_sasl_mechanism="SCRAM-SHA-512",
            kafka_sasl_username=principal(role).user,
            kafka_sasl_password_file=self.password_file(role),
            **given,
        )

    def environment(self, role: str) -> Mapping[str, str]:
        """The same as variables of a process."""
        return environment_of(self.settings(role))

    def as_its_user(self, spec: Spec) -> Spec:
        """A process of `vpp up`, as the user of its role."""
        return replace(spec, environment={**spec.environment, **self.environment(spec.name)})


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that give a process these Kafka settings."""
    fields = ("namespace", "kafka", *(n for n in Settings.model_fields if n.startswith("kafka_")))
    values = {name: getattr(settings, name) for name in fields}
    return {
        f"VPP_{name.upper()}": str(value) for name, value in values.items() if value is not None
    }


async def run_vpp(environment: Mapping[str, str], *words: str) -> tuple[int, str]:
    """Run a command of ``vpp``; returns its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vpp_streams", *words),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()
