"""The configuration of an agent: a TOML file, checked completely before anything starts.

Every mistake is reported at once, with its line, and with the keys that there are.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from edge.drivers import DRIVERS, LIBRARIES, module_of
from edge.planning.tariff import Terms
from schemas.bounds import Fraction, Id, Positive

T = TypeVar("T", bound=msgspec.Struct)

_URLS = "|".join(rf"^{s}://[^/,\s]+(,{s}://[^/,\s]+)*$" for s in ("wss", "ws"))
EXAMPLE = """\
# The configuration of `vpp edge run`. Paths are relative to this file.

[gateway]
url = "wss://vpp.example.org:8400"  # several, separated by commas, where there is more than one
device_id = "home-0001"
token_file = "token"                # a file that contains the device's token
# certificate_file = "device.pem"   # or, instead of a token, a client certificate
# key_file = "device.key"           #   and its key
# ca_file = "ca.pem"                # the gateway's CA, if the system does not know it
# enrol_url = "https://enrol.example.org:8500"  # `vpp ca serve`: `vpp edge enrol` makes the three
                                    #   files above, and the agent renews them by itself

[home]
backup_reserve = 0.2                # share of the battery that is never sold; set the same in the
                                    # inverter, which keeps it when this computer is off
# export_limit_w = 5000             # limits of the grid connection; left out = none
# import_limit_w = 11000

# [tariff]                          # what the battery does when nobody commands it; left out =
# time_zone = "Europe/Berlin"       #   the inverter's own mode
# buy = [                           # or "market": the prices that the cloud sends
#   { from = "06:00", per_kwh = 0.34 },
#   { from = "22:00", per_kwh = 0.22 },
# ]                                 # days = "working" or "weekend" for rates of such days alone
# sell = 0.08                       # per kWh, or "market"
# market_fees_per_kwh = 0.15        # added to the market's price of what is bought,
# market_tax = 0.19                 #   and the tax on both
# battery_exports = true            # whether the contract lets the battery discharge to the grid
# wear_per_mwh = 10                 # what a discharged MWh wears off the battery

[driver]
name = "simulated"                  # the make of the inverter; other keys are the driver's own
energy_wh = 13500

[storage]
path = "readings.db"                # readings are kept here until the cloud has them
keep_days = 14                      # an outage of this length loses nothing (85 MB a week)

[health]                            # leave the section out = no local page
port = 9109                         # http://127.0.0.1:9109 and /metrics
"""


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """Section ``[gateway]``."""

    url: Annotated[str, msgspec.Meta(pattern=_URLS)]
    """Of a gateway, or of several, separated by commas."""
    device_id: Id
    token_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    enrol_url: Annotated[str, msgspec.Meta(pattern=r"^(https://[^/\s]+)?$")] = ""


class Household(msgspec.Struct, frozen=True, kw_only=True):
    """Section ``[home]``."""

    backup_reserve: Fraction
    export_limit_w: Positive = float("inf")
    import_limit_w: Positive = float("inf")


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """Section ``[storage]``."""

    path: str
    keep_days: Annotated[float, msgspec.Meta(gt=0, le=366)] = 14.0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Section ``[health]``."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)]


_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "gateway": Gateway,
    "home": Household,
    "tariff": Terms,
    "storage": Storage,
    "health": Health,
}
_OPTIONAL = ("tariff", "health")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A checked configuration."""

    gateway: Gateway
    home: Household
    tariff: Terms | None
    storage: Storage
    health: Health | None
    driver_name: str
    driver_options: Any
    """The ``Options`` of the driver's module."""
    folder: Path
    """Where relative paths begin."""

    def file(self, name: str) -> Path:
        """A path of the configuration."""
        return self.folder / name


class ConfigError(Exception):
    """A configuration that cannot be used; one line for each mistake."""


def read_config(path: Path, *, enrolled: bool = True) -> Config:
    """Read and check a configuration. Raises `ConfigError`.

    ``enrolled`` False = the files of its identity need not exist yet.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); `vpp edge example-config`") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    return _Reader(path, text, document).config(enrolled=enrolled)


class _Reader:
    """Converts a document, and collects what is wrong with it."""

    def __init__(self, path: Path, text: str, document: dict[str, Any]) -> None:
        self._path, self._document = path, document
        self._lines = _lines_of(text)
        self._mistakes: list[str] = []

    def config(self, *, enrolled: bool) -> Config:
        """The configuration. Raises `ConfigError` with every mistake."""
        self._unknown("", set(self._document), [*_SECTIONS, "driver"])
        gateway = self._section("gateway", Gateway)
        home = self._section("home", Household)
        tariff = self._section("tariff", Terms)
        storage = self._section("storage", Storage)
        health = self._section("health", Health)
        name, options = self._driver()
        if gateway is not None:
            self._credentials(gateway)
            self._renewal(gateway)
            if enrolled:
                self._files(gateway)
        if self._mistakes or gateway is None or home is None or storage is None:
            raise ConfigError("\n".join(self._mistakes))
        return Config(
            gateway=gateway,
            home=home,
            tariff=tariff,
            storage=storage,
            health=health,
            driver_name=name,
            driver_options=options,
            folder=self._path.parent,
        )

    def _section(self, name: str, struct: type[T]) -> T | None:
        values = self._document.get(name)
        if values is None and name in _OPTIONAL:
            return None
        return self._converted(name, values, struct)

    def _driver(self) -> tuple[str, Any]:
        section = self._document.get("driver")
        values = section if isinstance(section, dict) else {}
        name = values.get("name")
        if not isinstance(name, str) or name not in DRIVERS:
            known = "; ".join(f"{each}: {words}" for each, words in DRIVERS.items())
            self._wrong("driver", "name", f"name has to be a driver. There are {known}")
            return "", None
        options = {key: value for key, value in values.items() if key != "name"}
        try:
            module = module_of(name)
        except ModuleNotFoundError as error:
            words = f"driver {name} needs {error.name}: pip install {LIBRARIES[name]}"
            self._wrong("driver", "name", words)
            return name, None
        return name, self._converted("driver", options, module.Options)

    def _converted(self, section: str, values: Any, struct: type[T]) -> T | None:
        """The section as a Struct; None = it is wrong, and that is noted."""
        keys = [field.encode_name for field in msgspec.structs.fields(struct)]
        if not isinstance(values, dict):
            self._wrong(section, "", f"section [{section}] is missing; its keys: {', '.join(keys)}")
            return None
        before = len(self._mistakes)
        self._unknown(section, set(values), keys)
        known = {key: value for key, value in values.items() if key in keys}
        for key in [k for k in known if not self._fits(section, k, known[k], struct)]:
            del known[key]
        required = [f.encode_name for f in msgspec.structs.fields(struct) if f.required]
        for key in [each for each in required if each not in values]:
            self._wrong(section, "", f"{key} is missing in [{section}]")
        if len(self._mistakes) > before:
            return None
        try:
            return msgspec.convert(known, struct)
        except msgspec.ValidationError as error:  # values that do not fit each other
            self._wrong(section, "", str(error))
            return None

    def _fits(self, section: str, key: str, value: Any, struct: type[msgspec.Struct]) -> bool:
        (field,) = (f for f in msgspec.structs.fields(struct) if f.encode_name == key)
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            self._wrong(section, key, f"{key} = {value!r} does not fit: {error}")
            return False
        return True

    def _credentials(self, gateway: Gateway) -> None:
        has_token, has_key = bool(gateway.token_file), bool(gateway.certificate_file)
        if has_token == has_key:
            self._wrong("gateway", "", "give either token_file, or certificate_file and key_file")
        if has_key != bool(gateway.key_file):
            self._wrong("gateway", "", "certificate_file and key_file belong together")
        if has_key and gateway.url.startswith("ws://"):
            self._wrong("gateway", "url", "a client certificate needs a wss:// address")

    def _renewal(self, gateway: Gateway) -> None:
        files = [gateway.certificate_file, gateway.key_file, gateway.ca_file]
        if gateway.enrol_url and ("" in files or len(set(files)) < len(files)):
            words = "enrol_url needs certificate_file, key_file and ca_file: three files"
            self._wrong("gateway", "enrol_url", words)

    def _files(self, gateway: Gateway) -> None:
        for key in ("token_file", "certificate_file", "key_file", "ca_file"):
            name = getattr(gateway, key)
            if name and not (self._path.parent / name).is_file():
                way_out = "; `vpp edge enrol` makes it" if gateway.enrol_url else ""
                where = self._path.parent / name
                self._wrong("gateway", key, f"{key}: there is no file {where}{way_out}")

    def _unknown(self, section: str, keys: set[str], known: list[str]) -> None:
        for key in sorted(keys - set(known)):
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            what = f"in [{section}]" if section else "as a section"
            words = f"{key} is unknown {what}: {hint}There are {', '.join(known)}"
            self._wrong(section or key, key if section else "", words)

    def _wrong(self, section: str, key: str, words: str) -> None:
        line = self._lines.get((section, key), self._lines.get((section, "")))
        self._mistakes.append(f"{self._path}{f', line {line}' if line else ''}: {words}")


def _lines_of(text: str) -> dict[tuple[str, str], int]:
    """The line of each (section, key), and of each section as (section, "")."""
    return {name: number for number, name in _named(text)}


def _named(text: str) -> Iterator[tuple[int, tuple[str, str]]]:
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            section = header[1]
            yield number, (section, "")
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            yield number, (section, key[1]) if section else (key[1], "")
