"""What a document's fields say, in canonical signs and units."""

from dataclasses import dataclass, field

from schemas.bodies import Quality


@dataclass(frozen=True, slots=True)
class Fields:
    """Values by name (``battery_w``, ``soc``, ...); NaN = not measured."""

    values: dict[str, float]
    time_ms: int | None = None
    """The newest time of a value that is measured, ms since 1970 UTC; None = there is none."""
    estimated: set[str] = field(default_factory=set)
    """Names of values that are not measured as such; a document can have one that is NaN."""
    islanded: bool | None = None
    """Whether the site is off the grid; None = the document does not say so."""

    @property
    def quality(self) -> Quality:
        """The quality of all values together."""
        return Quality.ESTIMATED if self.estimated else Quality.OK
