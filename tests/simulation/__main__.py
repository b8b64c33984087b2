"""The command line of the simulation: ``python -m tests.simulation``."""

from vpp_streams.process.lean_arrow import use_arrow_without_pandas

use_arrow_without_pandas()

from tests.simulation.run import main  # noqa: E402  # the agents that it imports make arrays

main()
