"""Contract of topic ``fleet.holders``: which fleet worker holds which partition."""

import msgspec

from schemas.bounds import Label, PartitionNumber


class Holder(msgspec.Struct, frozen=True):
    """A fleet worker has a partition, and its pages answer for the sites in it."""

    partition: PartitionNumber
    """Number of the partition."""
    url: Label
    """Address of the worker's pages, for example ``http://10.0.0.7:6066``."""
    process_id: Label
    """The worker, as in topic ``health``."""
