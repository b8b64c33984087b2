"""Drivers by the name that a configuration gives them: each is a module of this folder.

A driver's module has a msgspec Struct ``Options``, the keys of section ``[driver]`` beside
``name``, and a function ``driver(options)`` that returns a `edge.driver.Driver` without connecting.
"""

from importlib import import_module
from types import ModuleType

DRIVERS: dict[str, str] = {
    "simulated": "a battery, panels and a household in software",
    "fronius": "Fronius inverters: measured by the Solar API, commanded by SunSpec",
    "enphase": "Enphase systems by their IQ Gateway at home; measured only",
    "tesla_gateway": "Tesla Powerwalls by their gateway at home; measured only",
    "mqtt": "values on MQTT by a mapping file, with Home Assistant's conventions",
    "sunspec": "inverters and batteries that speak SunSpec over Modbus",
}
"""Every driver with a few words about it."""
LIBRARIES: dict[str, str] = {
    "fronius": "pymodbus pysunspec2",
    "enphase": "pyenphase",
    "tesla_gateway": "pypowerwall",
    "mqtt": "aiomqtt",
    "sunspec": "pymodbus pysunspec2",
}
"""What a driver needs beside the agent's own libraries, as ``pip install`` takes it."""


def module_of(name: str) -> ModuleType:
    """A driver's module; only the one that is used is imported."""
    return import_module(f"{__name__}.{name}")
