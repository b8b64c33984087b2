"""What an import would change in the registry, and what of it an operator has to agree to."""

from collections.abc import Sequence
from typing import NamedTuple

from schemas.assets import Site
from vpp_streams.domain.registry.registry import Registry

NAMED = 5
"""Names that a sentence lists before it counts the others."""


class ImportPlan(NamedTuple):
    """The sites of a file, compared with the registry."""

    new: tuple[Site, ...]
    """Not in the registry yet."""
    changed: tuple[Site, ...]
    """In the registry with other contents, and they stay in it."""
    retired: tuple[Site, ...]
    """In the registry now, retired by the file."""
    unchanged: int
    """Already in the registry as they are, or retired before."""
    created_regions: tuple[str, ...]
    """Regions without a site until now, sorted."""

    @property
    def records(self) -> list[Site]:
        """The records to write."""
        return [*self.new, *self.changed, *self.retired]

    @property
    def consequences(self) -> list[str]:
        """What needs an operator's agreement, as sentences without a subject.

        A mistyped region is a new region, and the devices of a retired site are disconnected.
        """
        lines = []
        if self.created_regions:
            lines.append(f"creates {_listed('region', self.created_regions)}")
        if self.retired:
            names = [site.site_id for site in self.retired]
            lines.append(f"retires {_listed('site', names)}; their devices are disconnected")
        return lines


def plan_of(sites: Sequence[Site], registry: Registry) -> ImportPlan:
    """Compare the sites of a file with the registry."""
    known = {site.site_id: registry.site(site.site_id) for site in sites}
    stay = [site for site in sites if site.state != "retired"]
    new = tuple(site for site in stay if known[site.site_id] is None)
    changed = tuple(site for site in stay if known[site.site_id] not in (None, site))
    leaving = (site for site in sites if site.state == "retired")
    retired = tuple(site for site in leaving if known[site.site_id] is not None)
    return ImportPlan(
        new,
        changed,
        retired,
        unchanged=len(sites) - len(new) - len(changed) - len(retired),
        created_regions=tuple(sorted({site.region for site in stay} - set(registry.regions()))),
    )


def _listed(noun: str, names: Sequence[str]) -> str:
    """A noun with the names that it stands for: ``2 regions: a, b``."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    plural = "" if len(names) == 1 else "s"
    return f"{len(names)} {noun}{plural}: {', '.join(names[:NAMED])}{more}"
