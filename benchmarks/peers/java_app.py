"""The Kafka Streams application of `benchmarks/peers/kafka_streams`: built once, run as a process.

Maven compiles it into ``var/peers`` again when a source has changed.
"""

import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.workers import ROOT, Child
from vpp_streams.errors import BrokerError
from vpp_streams.local.kafka_process import find_java
from vpp_streams.local.supervisor import dies_with_us

SOURCES = Path(__file__).parent / "kafka_streams"
BUILT_IN = ROOT / "var" / "peers"
WAY_OUT = "apt-get install openjdk-17-jdk-headless maven"
MEMORY = ("-Xms1g", "-Xmx2g")


def missing() -> str | None:
    """What this machine lacks to build and run the application; None = nothing."""
    try:
        find_java()
    except BrokerError as error:
        return str(error)
    lacks = [program for program in ("javac", "mvn") if shutil.which(program) is None]
    return f"there is no {' and no '.join(lacks)}; {WAY_OUT}" if lacks else None


def build() -> Path:
    """Compile what has changed; returns the folder. Raises `RuntimeError` with Maven's errors."""
    newest = max(path.stat().st_mtime for path in SOURCES.rglob("*") if path.is_file())
    mark = BUILT_IN / "built"
    if mark.exists() and mark.stat().st_mtime > newest:
        return BUILT_IN
    BUILT_IN.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mvn", "-B", "-q", "-f", SOURCES / "pom.xml", "compile",
         "dependency:copy-dependencies", f"-Dbuilt.in={BUILT_IN}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        raise RuntimeError("\n".join(["Maven cannot build the Java application:", *errors[:10]]))
    mark.touch()
    return BUILT_IN


def start(name: str, options: dict[str, str], logs: Path) -> Child:
    """Start the application with these options, as a process that ends with ours."""
    built = build()
    words = [word for option, value in options.items() for word in (f"--{option}", value)]
    classpath = f"{built / 'classes'}:{built / 'libs'}/*"
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    command = [find_java(), *MEMORY, quiet, "-cp", classpath, "peer.Main", *words]
    log = logs / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            dies_with_us(command, "KILL"),
            cwd=logs,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    return Child(name, process, log)


def counter(child: Child, name: str) -> int:
    """What it last printed of a counter; 0 before its first line."""
    with child.log.open("rb") as log:
        log.seek(max(child.log.stat().st_size - 4096, 0))
        lines = [line for line in log.read().split(b"\n")[:-1] if line.startswith(b"{")]
    return int(json.loads(lines[-1])[name]) if lines else 0
