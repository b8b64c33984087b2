"""The sites of a region by columns, in the order of their ids, as every settlement uses them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.assets import Site
from schemas.settlement import site_account
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.registry.belief import UNREGISTERED_W


@dataclass(frozen=True)
class Fleet:
    """Sites of one region; each column has the shape (sites,).

    A power that is not registered is that of a large house, as for the belief in readings.
    """

    region: str
    site_ids: pa.StringArray
    charge_w: Floats
    """Rated power of the batteries of a site together."""
    discharge_w: Floats
    import_w: Floats
    """Largest power at the grid connection."""
    export_w: Floats

    @staticmethod
    def of(region: str, sites: Iterable[Site]) -> "Fleet":
        """The active sites of a region; only these are paid."""
        counted = sorted(
            (site for site in sites if site.region == region and site.state == "active"),
            key=lambda site: site.site_id,
        )
        columns = np.array([_powers(site) for site in counted], np.float64).reshape(-1, 4).T
        return Fleet(region, pa.array([site.site_id for site in counted], pa.string()), *columns)

    def of_rows(self, rows: Ints) -> "Fleet":
        """Some of the sites."""
        powers = (self.charge_w, self.discharge_w, self.import_w, self.export_w)
        site_ids = self.site_ids.take(pa.array(rows))
        return Fleet(self.region, site_ids, *(power[rows] for power in powers))

    def __len__(self) -> int:
        return len(self.site_ids)

    @cached_property
    def ranks(self) -> Ints:
        """A number for each site by which equal claims are decided: its place among the ids."""
        return np.arange(len(self), dtype=np.int64)

    @cached_property
    def accounts(self) -> pa.StringArray:
        """The account of each site."""
        return pc.binary_join_element_wise(site_account(""), self.site_ids, "")


def _powers(site: Site) -> tuple[float, float, float, float]:
    batteries = [
        device
        for device in site.devices
        if device.kind != "solar" or device.rated_charge_w + device.rated_discharge_w > 0
    ]
    registered = [device.rated_charge_w + device.rated_discharge_w > 0 for device in batteries]
    missing_w = UNREGISTERED_W * registered.count(False)
    charge_w = missing_w + sum(device.rated_charge_w for device in batteries)
    discharge_w = missing_w + sum(device.rated_discharge_w for device in batteries)
    solar_w = sum(device.rated_solar_w for device in site.devices) or UNREGISTERED_W
    import_w, export_w = site.import_limit_w, site.export_limit_w
    return (
        charge_w,
        discharge_w,
        UNREGISTERED_W + charge_w if import_w is None else import_w,
        discharge_w + solar_w if export_w is None else export_w,
    )
