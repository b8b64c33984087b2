"""The limits of a grid connection, and the battery power that they allow."""

from dataclasses import dataclass

import numpy as np

from edge.arrays import Floats


@dataclass(frozen=True, slots=True)
class Connection:
    """Limits of the grid connection, one value per row; inf = no limit."""

    export_limit_w: Floats
    import_limit_w: Floats


def within(connection: Connection, net_load_w: Floats, request_w: Floats) -> Floats:
    """The battery power closest to ``request_w`` that keeps the connection's limits.

    ``net_load_w`` is load minus solar. Powers are W, + = discharge. What the household itself
    imports beyond the limit is not the battery's to prevent, so 0 is always allowed.
    """
    most = np.maximum(net_load_w + connection.export_limit_w, 0.0)
    least = np.minimum(net_load_w - connection.import_limit_w, 0.0)
    return np.clip(request_w, least, most)
