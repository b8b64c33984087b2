"""Whose token it is, and what becomes of those who guess; the clock is the test's."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.accounts_world import CHEAP
from vpp_streams.accounts.accounts import Accounts
from vpp_streams.accounts.secrets import digest_of
from vpp_streams.process.private_files import write_private
from vpp_streams.serving import guesses as module
from vpp_streams.serving.guesses import FREE_TRIES, Guesses
from vpp_streams.serving.logins import Logins
from vpp_streams.serving.operators import Operator, lines_for, new_token
from vpp_streams.serving.problems import ApiError

ANN, BOB = new_token(), new_token()
HERE, THERE = "192.0.2.1", "192.0.2.2"


class World:
    def __init__(self, path: Path) -> None:
        self.path, self.now_s = path, 0.0
        self.write(ann=ANN, bob=BOB)
        self.accounts = Accounts(None, CHEAP)
        self.logins = Logins(path, self.accounts, clock_s=lambda: self.now_s)

    def write(self, **tokens: str) -> None:
        lines = (
            lines_for(Operator(name=n, token_sha256=digest_of(t), regions="*", may=("hold",)))
            for n, t in tokens.items()
        )
        write_private(self.path, "".join(lines).encode())

    def status(self, address: str, token: str) -> int:
        try:
            self.logins.holder(address, token)
        except ApiError as problem:
            return problem.status
        return 200

    def guess(self, address: str, times: int) -> list[int]:
        return [self.status(address, new_token()) for _ in range(times)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "operators.toml")


def test_an_address_that_guesses_is_locked_out_each_time_for_twice_as_long(world: World) -> None:
    assert world.guess(HERE, FREE_TRIES + 3) == [401] * FREE_TRIES + [429] * 3
    world.now_s = 29
    assert world.guess(HERE, 1) == [429]
    world.now_s = 31
    assert world.guess(HERE, 2) == [401, 429]
    world.now_s = 31 + 59
    assert world.guess(HERE, 1) == [429]
    world.now_s = 31 + 61
    assert world.guess(HERE, 1) == [401]
    world.now_s += module.FORGET_S + module.LONGEST_LOCK_S
    assert world.guess(HERE, FREE_TRIES) == [401] * FREE_TRIES


def test_a_program_that_keeps_on_with_a_token_that_was_replaced_is_no_guesser(world: World) -> None:
    old = new_token()
    assert {world.status(HERE, old) for _ in range(50)} == {401}
    assert world.status(HERE, ANN) == 200


def test_a_locked_address_learns_nothing_of_the_right_token(world: World) -> None:
    world.guess(HERE, FREE_TRIES)
    with pytest.raises(ApiError) as locked:
        world.logins.holder(HERE, ANN)
    assert (locked.value.status, locked.value.headers) == (429, {"Retry-After": "30"})


def test_the_lock_is_the_addresss_alone(world: World) -> None:
    world.guess(HERE, FREE_TRIES)
    assert world.status(THERE, ANN) == 200


def test_an_operator_who_was_here_before_is_not_locked_out_by_a_neighbour(world: World) -> None:
    assert world.status(HERE, ANN) == 200
    world.guess(HERE, FREE_TRIES + 100)
    assert world.status(HERE, ANN) == 200
    assert world.status(HERE, BOB) == 429
    world.write(bob=BOB)
    assert world.status(HERE, ANN) == 401  # taken out: what was proven once does not count


def test_a_token_is_out_or_in_with_the_next_request(world: World) -> None:
    carl = new_token()
    assert world.status(HERE, carl) == 401
    world.write(ann=ANN, carl=carl)
    assert (world.status(HERE, carl), world.status(HERE, BOB)) == (200, 401)
    world.path.write_text("rubbish")
    assert world.status(HERE, carl) == 403
    world.path.unlink()
    assert world.status(HERE, carl) == 403
    world.write(ann=ANN)
    assert world.status(HERE, ANN) == 200


def test_wrong_tokens_are_logged_until_the_lock_and_then_counted(world: World) -> None:
    with capture_logs() as logs:
        world.guess(HERE, 300)
        world.now_s = 31
        world.guess(HERE, 1)
    assert [line["wrong_tokens"] for line in logs] == list(range(1, FREE_TRIES + 2))
    assert logs[-1]["client"] == HERE
    assert logs[-1]["refused_while_locked"] == 300 - FREE_TRIES
    assert logs[-1]["locked_out_s"] == 60
    assert all(ANN not in str(line) for line in logs)


def test_asking_again_neither_locks_nor_is_locked(world: World) -> None:
    assert [world.logins.holder_now(new_token()) for _ in range(50)] == [None] * 50
    assert world.status(HERE, ANN) == 200
    world.guess(THERE, FREE_TRIES)
    again = world.logins.holder_now(ANN)
    assert again is not None
    assert again.name == "ann"


def test_what_is_remembered_of_guessers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_KEPT", 10)
    guesses = Guesses()
    for number in range(50):
        guesses.failed(f"198.51.100.{number}", 0.0)
    assert len(guesses) == 10
