"""Both forms of the innermost loops, for tests that compare them."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from vpp_streams.domain import kernels


def compiled() -> ModuleType:
    """The compiled loops; the test is skipped where no compiler was there at installation."""
    if kernels.COMPILED is None:
        pytest.skip("the compiled loops are not built: there was no C compiler")
    return kernels.COMPILED


@contextmanager
def numpy_only() -> Iterator[None]:
    """Numpy does the work during the block."""
    before, kernels.COMPILED = kernels.COMPILED, None
    try:
        yield
    finally:
        kernels.COMPILED = before
