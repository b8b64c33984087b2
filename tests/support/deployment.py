"""The roles as images, compose and the chart have to name them."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "chart" / "vpp"

ROLES = {
    "gateway": ["gateway"],
    "ingest": ["worker", "ingest"],
    "fleet": ["worker", "fleet"],
    "region": ["worker", "region"],
    "optimizer": ["worker", "optimizer"],
    "market": ["market"],
    "settlement": ["settlement", "run"],
    "historian": ["worker", "historian"],
    "incidents": ["incidents", "run"],
    "identity": ["ca", "serve"],
    "web": ["web"],
    "sim": ["sim"],
}
"""Each role that is deployed, and the words after ``vpp`` that start it."""
