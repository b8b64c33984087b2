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
    removed: tuple[Site, ...]
    """In the registry now, removed by the file."""
    unchanged: int
    """Already in the registry as they are, or removed before."""
    created_regions: tuple[str, ...]
    """Regions without a site until now, sorted."""

    @property
    def records(self) -> list[Site]:
        """The records to write."""
        return [*self.new, *self.changed, *self.removed]

    @property
    def consequences(self) -> list[str]:
        """What needs an operator's agreement, as sentences without a subject.

        A mistyped region is a new region, and the devices of a removed site are disconnected.
        """
        lines = []
        if self.created_regions:
            lines.append(f"creates {_listed('region', self.created_regions)}")
        if self.removed:
            names = [site.site_id for site in self.removed]
            lines.append(f"removes {_listed('site', names)}; their devices are disconnected")
        return lines


def plan_of(sites: Sequence[Site], registry: Registry) -> ImportPlan:
    """Compare the sites of a file with the registry."""
    known = {site.site_id: registry.site(site.site_id) for site in sites}
    stay = [site for site in sites if not site.removed]
    new = tuple(site for site in stay if known[site.site_id] is None)
    changed = tuple(site for site in stay if known[site.site_id] not in (None, site))
    removed = tuple(site for site in sites if site.removed and known[site.site_id] is not None)
    return ImportPlan(
        new,
        changed,
        removed,
        unchanged=len(sites) - len(new) - len(changed) - len(removed),
        created_regions=tuple(sorted({site.region for site in stay} - set(registry.regions()))),
    )


def _listed(noun: str, names: Sequence[str]) -> str:
    """A noun with the names that it stands for: ``2 regions: a, b``."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    plural = "" if len(names) == 1 else "s"
    return f"{len(names)} {noun}{plural}: {', '.join(names[:NAMED])}{more}"
