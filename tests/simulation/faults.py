"""What goes wrong in a world, when, and for how long: all of it drawn from the seed."""

from collections.abc import Callable
from functools import partial

from tests.simulation.plant import Plant
from tests.simulation.world import Service, World
from vpp_streams.kafka import topics

Fault = Callable[[], None]


class Faults:
    """Breaks things at moments of its own choosing, and mends them all at the end."""

    def __init__(self, world: World, plant: Plant) -> None:
        self.world, self.plant = world, plant
        self.rng = world.rng
        self.injected = 0
        self._mend: list[Fault] = []
        self._kinds: list[tuple[float, Fault]] = [
            (5, self.pause),
            (3, self.kill),
            (1, self.stop),
            (1, self.broker_away),
            (1, self.broker_frozen),
            (1, self.disk_full),
            (2, self.answers_lost),
            (2, self.clock_steps),
            (1, self.brokers_clock_steps),
            (2, self.link_breaks),
            (1, self.device_reboots),
            (1, self.device_clock_steps),
            (1, self.compaction),
        ]

    def plan(self, seconds: float, most: int) -> None:
        """Choose what goes wrong within this time."""
        weights = [weight for weight, _ in self._kinds]
        for _ in range(self.rng.randint(1, most)):
            at_s = self.rng.random() * seconds
            (_, fault) = self.rng.choices(self._kinds, weights)[0]
            self.world.loop.call_later(at_s, self._inject, fault, context=self.world.outside)

    def _inject(self, fault: Fault) -> None:
        self.injected += 1
        fault()

    def mend(self) -> None:
        """Everything works again, from now on."""
        for mend in self._mend:
            mend()
        self._mend.clear()
        self.world.kafka_clock_ms = 0
        for process in self.world.loop.processes:
            process.at_step = None  # else it would be stopped yet
        for service in self.world.services.values():
            self.world.loop.resume(service.process)
            service.process.clock_ms = 0
        for home in self.plant.homes.values():
            # One that is far ahead is refused, and one that is behind has to do no harm.
            home.clock_ms = min(home.clock_ms, 0)
        self.world.note("everything is mended")

    def _for_a_while(self, what: str, mend: Fault, longest_s: float) -> None:
        # Half of them are over before anybody's patience is, half of them are not.
        share = self.rng.random()
        seconds = longest_s * (share if self.rng.random() < 0.5 else share**4)
        self.world.note(f"fault: {what} for {seconds:.3f} s")
        self._mend.append(mend)
        self.world.loop.call_later(seconds, mend, context=self.world.outside)

    def _service(self) -> Service:
        return self.rng.choice(list(self.world.services.values()))

    def _after_some_steps(self, service: Service, do: Fault) -> None:
        """At one of the next steps of a process, so between any two awaits."""
        process = service.process
        process.at_step = (process.steps + self.rng.randint(0, 40), do)

    # The faults

    def pause(self) -> None:
        """SIGSTOP between two steps, SIGCONT later."""
        service, loop = self._service(), self.world.loop
        process = service.process
        resume = partial(loop.resume, process)

        def stop() -> None:
            loop.pause(process)
            self._for_a_while(f"{process.name} is paused", resume, 40.0)

        self._after_some_steps(service, stop)

    def kill(self) -> None:
        """SIGKILL between two steps."""
        service = self._service()

        def kill() -> None:
            self.world.note(f"fault: {service.name} is killed")
            self.world.kill(service)

        self._after_some_steps(service, kill)

    def stop(self) -> None:
        """SIGTERM."""
        service = self._service()
        self.world.note(f"fault: {service.name} is stopped")
        self.world.stop(service)

    def broker_away(self) -> None:
        self.world.kafka.away = True
        self._for_a_while("the broker is away", self.world.kafka.come_back, 30.0)

    def broker_frozen(self) -> None:
        self.world.kafka.frozen = True
        self._for_a_while("the broker is frozen", self.world.kafka.come_back, 50.0)

    def disk_full(self) -> None:
        def mend() -> None:
            self.world.kafka.full = False

        self.world.kafka.full = True
        self._for_a_while("the broker's disk is full", mend, 20.0)

    def answers_lost(self) -> None:
        def mend() -> None:
            self.world.kafka.lose_answers = 0.0

        self.world.kafka.lose_answers = 0.1 + 0.5 * self.rng.random()
        self._for_a_while("answers of the broker are lost", mend, 20.0)

    def compaction(self) -> None:
        """The broker compacts what it may: nobody is to notice."""
        tombstones_too = self.rng.random() < 0.5
        for topic in (topics.STATE_FLEET, topics.PRESENCE, topics.ASSETS):
            for log in self.world.kafka.topics[topic.full("sim")].logs:
                log.compact(tombstones_too=tombstones_too)
        self.world.note("fault: topics are compacted")

    def clock_steps(self) -> None:
        service = self._service()
        process = service.process
        process.clock_ms = self._step_ms()
        self.world.note(f"fault: {process.name}'s clock is {process.clock_ms} ms off")

    def brokers_clock_steps(self) -> None:
        self.world.kafka_clock_ms += self.rng.randint(-2000, 2000)
        self.world.note(f"fault: the broker's clock is {self.world.kafka_clock_ms} ms off")

    def link_breaks(self) -> None:
        home = self.rng.choice(list(self.plant.homes.values()))
        away_ms = 20_000 * self.rng.random() ** 2
        self.world.note(f"fault: {home.device_id} loses its link for {away_ms:.0f} ms")
        self.world.loop.call_in(self.plant.process, lambda: home.client.cut(away_ms))

    def device_reboots(self) -> None:
        home = self.rng.choice(list(self.plant.homes.values()))
        self.world.note(f"fault: {home.device_id} reboots")
        self.world.loop.call_in(self.plant.process, home.start)

    def device_clock_steps(self) -> None:
        home = self.rng.choice(list(self.plant.homes.values()))
        home.clock_ms = self._step_ms()
        self.world.note(f"fault: {home.device_id}'s clock is {home.clock_ms} ms off")

    def _step_ms(self) -> int:
        longest_ms = self.rng.choice([100, 5_000, 60_000, 7_200_000])
        return self.rng.randint(-longest_ms, longest_ms)
