"""Apache Kafka as a plain Java process: jars by Maven, one KRaft node, no Docker needed."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from vpp_streams.errors import BrokerError
from vpp_streams.local.supervisor import dies_with_us
from vpp_streams.process.ports import free_port
from vpp_streams.process.private_files import locked, private_directory

POM = Path(__file__).parents[2] / "deploy" / "kafka" / "pom.xml"
JAVA_NEEDED = 17
LASTING = ("-Xmx1g",)
"""Options of the Java machine for a broker that runs for hours."""
SHORT_LIVED = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Those for a broker of minutes, where the optimizing compiler and parallel collection take more
CPU time than they save."""
_POM_NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}
_CLUSTER_ID = "dnBwLXN0cmVhbXMtbG9jYQ"
"""Any 16 bytes in base64: local clusters differ by their directory and port."""


def kafka_version() -> str:
    """The Kafka version that runs locally, from ``deploy/kafka/pom.xml``."""
    found = ElementTree.parse(POM).find("m:properties/m:kafka.version", _POM_NAMESPACE)
    if found is None or not found.text:
        raise BrokerError(f"{POM} names no kafka.version")
    return found.text


def find_java() -> str:
    """Path of a Java that can run Kafka. Raises `BrokerError` with what to install."""
    way_out = f"install Java {JAVA_NEEDED} or newer: apt-get install openjdk-17-jre-headless"
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        raise BrokerError(f"no Docker engine answers and there is no `java`; {way_out}")
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    if java_major(text) < JAVA_NEEDED:
        raise BrokerError(f"{java} is too old ({text.splitlines()[0] if text else '?'}); {way_out}")
    return java


def java_major(version_text: str) -> int:
    """Major version in the output of ``java -version``; 0 where it cannot be read."""
    _, _, rest = version_text.partition('version "')
    major = rest.split('"')[0].split(".")[0].split("-")[0]
    return int(major) if major.isdigit() else 0


def jars_dir(cache: Path) -> Path:
    """Directory of Kafka's jars, whether or not it exists yet."""
    return cache / "kafka" / kafka_version() / "libs"


def fetch_jars(cache: Path) -> Path:
    """Kafka's jars, resolved by Maven the first time. Raises `BrokerError` where that fails."""
    libs = jars_dir(cache)
    with locked(cache / "kafka.lock"):
        if libs.is_dir():
            return libs
        mvn = shutil.which("mvn")
        if mvn is None:
            raise BrokerError(
                "Maven fetches Kafka's jars and there is no `mvn`; apt-get install maven"
            )
        # Copied beside the final place and moved at the end: a fetch that is interrupted
        # leaves nothing that looks complete.
        partial = libs.with_name("libs.partial")
        shutil.rmtree(partial, ignore_errors=True)
        copy = ("dependency:copy-dependencies", "-DincludeScope=runtime")
        done = subprocess.run(
            [mvn, "-B", "-q", "-f", POM, *copy, f"-DoutputDirectory={partial}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
            raise BrokerError(f"Maven cannot fetch Kafka: {errors[0] if errors else done.stderr}")
        partial.rename(libs)
    return libs


def single_node(host: str, port: int, controller_port: int) -> dict[str, str]:
    """Kafka's properties for one KRaft node that listens on ``host``, advertised as localhost.

    The same settings as the container's in docker-compose.yml.
    """
    return {
        "node.id": "1",
        "process.roles": "broker,controller",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@localhost:{controller_port}",
        "listeners": f"PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://localhost:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        "log.cleaner.enable": "true",
        "log.cleaner.backoff.ms": "1000",
    }


class KafkaProcess:
    """One local Kafka: its directory holds its data, log, properties and process id."""

    def __init__(
        self,
        home: Path,
        port: int,
        libs: Path,
        java: str,
        options: Sequence[str] = LASTING,
        *,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """``properties`` are added to those of a single node, and replace them."""
        self.home = home
        self._added = dict(properties or {})
        self.port = port
        self.log = home / "kafka.log"
        self._properties = home / "server.properties"
        self._pid_file = home / "pid"
        self._java = [java, *options, "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        self._java += ["-Dorg.slf4j.simpleLogger.logFile=System.out", "-cp", f"{libs}/*"]

    def command(self) -> list[str]:
        """The command that runs the broker; its storage is formatted first where it is new."""
        data = self.home / "data"
        private_directory(data)
        settings = single_node("127.0.0.1", self.port, free_port()) | {"log.dirs": str(data)}
        settings |= self._added
        self._properties.write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        if not (data / "meta.properties").exists():
            words = ("format", "-t", _CLUSTER_ID, "-c", str(self._properties))
            formatted = subprocess.run(
                [*self._java, "kafka.tools.StorageTool", *words],
                capture_output=True,
                text=True,
                check=False,
            )
            if formatted.returncode != 0:
                raise BrokerError(f"Kafka cannot format {data}: {formatted.stderr.strip()[-300:]}")
        return [*self._java, "kafka.Kafka", str(self._properties)]

    def spawn(self, *, outlives_us: bool) -> subprocess.Popen[bytes]:
        """Start the broker in a session of its own, so that our Ctrl-C does not reach it.

        Unless it ``outlives_us``, the kernel ends it with this process, even when that is killed.
        """
        command = self.command() if outlives_us else dies_with_us(self.command(), "KILL")
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pid_file.write_text(str(process.pid))
        return process

    def why_it_ended(self) -> str:
        """The log's last line that reports an error, for a person."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        errors = [line for line in lines if "Exception" in line or "ERROR" in line]
        return f"{(errors or lines or ['no output'])[-1].strip()} (complete log: {self.log})"


def running_pid(home: Path) -> int | None:
    """Process id of the broker whose directory is ``home``, or None."""
    try:
        pid = int((home / "pid").read_text())
    except (OSError, ValueError):
        return None
    # Process ids are reused: the command line of our broker names its properties file.
    return pid if str(home / "server.properties") in _command_line(pid) else None


def _command_line(pid: int) -> str:
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        except OSError:
            return ""
    ps = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout


def stop_process(home: Path, patience_s: float = 20.0) -> bool:
    """End the broker of ``home``, by force after ``patience_s``; False where none ran."""
    pid = running_pid(home)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + patience_s
    while running_pid(home) is not None:
        if time.monotonic() > give_up:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    (home / "pid").unlink(missing_ok=True)
    return True
