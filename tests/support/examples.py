"""How many examples hypothesis draws, by profile: few and the same in `make test`, many nightly."""

import hypothesis

CI_SHARE = 4
"""`make test` draws one example in this many."""


def examples(nightly: int, *, ci: int | None = None, **more: object) -> hypothesis.settings:
    """Settings for a test that draws ``nightly`` examples at night, and fewer otherwise.

    ``ci`` is how many fewer, where a test's examples take long or say much the same.
    """
    at_night = hypothesis.settings.get_current_profile_name() == "nightly"
    drawn = nightly if at_night else ci or max(nightly // CI_SHARE, 10)
    return hypothesis.settings(max_examples=drawn, **more)  # type: ignore[arg-type]  # its options
