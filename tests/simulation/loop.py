"""An asyncio loop whose time is virtual, and the simulated processes that share it.

Nothing here waits: when nobody has anything to do, time jumps to the next timer. Each callback
belongs to the process in whose context it was made, so a process can be stopped between any two
of its steps (as SIGSTOP does: its timers come late), or killed (nothing of it ever runs again,
no `finally` and no goodbye). Callbacks of one process keep their order, as asyncio promises;
whose turn it is among the processes is drawn from the seed.
"""

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any

STEP_S = 1e-5
"""What a callback takes, in virtual time: no chain of them is free."""


class StuckError(Exception):
    """Nobody has anything to do, ever, or the steps never end."""


class Process:
    """A simulated operating-system process with a wall clock of its own."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.clock_ms = 0
        """How far its wall clock is ahead of the world's, ms."""
        self.paused = False
        self.dead = False
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        self.steps = 0
        self.at_step: tuple[int, Callable[[], None]] | None = None
        """Called when it has made so many steps."""

    def __repr__(self) -> str:
        return f"<{self.name}>"


PROCESS: ContextVar[Process] = ContextVar("simulated_process")


class SimTask(asyncio.Task):  # type: ignore[type-arg]
    """A task whose hash is its number: sets of tasks are walked in the same order every time."""

    number: int

    def __hash__(self) -> int:
        return self.number


class SimFuture(asyncio.Future):  # type: ignore[type-arg]
    """As `SimTask`."""

    number: int

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.BaseEventLoop):
    """Runs the processes of one seed."""

    def __init__(self, rng: Random, most_steps: int = 5_000_000) -> None:
        super().__init__()
        self.rng = rng
        self.now_s = 1000.0
        self.steps = 0
        self.trace_hash = 0
        self.outside = Process("world", 0)
        """The broker, the network and the faults: it is never stopped."""
        self.processes = [self.outside]
        self.running = self.outside
        self._most_steps = most_steps
        self._runnable: list[Process] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self.set_task_factory(self._new_task)  # type: ignore[arg-type]  # its options differ by version
        self.set_exception_handler(lambda _loop, context: self.on_trouble(context))
        self.on_trouble: Callable[[dict[str, Any]], None] = lambda context: None

    # What asyncio asks of a loop

    def time(self) -> float:
        """Virtual monotonic time, s."""
        return self.now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As every loop's."""
        handle = events.Handle(callback, args, self, context)
        self._make_ready(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As every loop's."""
        handle = events.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As every loop's."""
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """As every loop's."""
        future = SimFuture(loop=self)
        self._count += 1
        future.number = self._count
        return future

    def _new_task(
        self, _loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        task = SimTask.__new__(SimTask)
        self._count += 1
        task.number = self._count
        task.__init__(work, loop=self, **options)  # type: ignore[misc]
        PROCESS.get(self.outside).tasks.append(task)
        return task

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass  # it is left out when its time comes

    def _run_once(self) -> None:
        self._wake_what_is_due()
        runnable = self._runnable
        at = int(self.rng.random() * len(runnable)) if len(runnable) > 1 else 0
        process = runnable[at]
        handle = process.ready.popleft()
        if not process.ready:
            runnable.pop(at)
        if handle._cancelled:  # noqa: SLF001  # asyncio's own loop does so
            return
        self.steps += 1
        if self.steps > self._most_steps:
            raise StuckError(f"more than {self._most_steps} steps")
        self.now_s += STEP_S
        self.running = process
        self.trace_hash = hash((self.trace_hash, process.number, self.now_s))
        handle._run()  # noqa: SLF001  # asyncio's own loop does so
        self.running = self.outside
        process.steps += 1
        if process.at_step is not None and process.steps >= process.at_step[0]:
            act, process.at_step = process.at_step[1], None
            act()

    def _wake_what_is_due(self) -> None:
        """Timers whose time has come, also while somebody is busy; else time jumps to the next."""
        timers = self._timers
        while not self._runnable or (timers and timers[0][0] <= self.now_s):
            if not timers:
                raise StuckError("nobody has anything left to do")
            when, _, handle = heapq.heappop(timers)
            if not handle._cancelled:  # noqa: SLF001  # asyncio's own loop does so
                self.now_s = max(self.now_s, when)
                self._make_ready(handle)

    def _make_ready(self, handle: asyncio.Handle) -> None:
        process = handle._context.get(PROCESS, self.outside)  # type: ignore[attr-defined]  # noqa: SLF001  # asyncio's own loop does so
        if process.dead:
            return
        process.ready.append(handle)
        if len(process.ready) == 1 and not process.paused:
            self._runnable.append(process)

    # Processes

    def new_process(self, name: str) -> Process:
        """A process that does nothing yet."""
        process = Process(name, len(self.processes))
        self.processes.append(process)
        return process

    def spawn(self, process: Process, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``work`` as a task of this process."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return context.run(self.create_task, work)

    def call_in(self, process: Process, callback: Callable[[], Any]) -> None:
        """Have the process make a step that does this."""
        context = copy_context()
        context.run(PROCESS.set, process)
        self.call_soon(callback, context=context)

    def outside_context(self) -> Context:
        """In which the broker and the network do what a process asked of them."""
        context = copy_context()
        context.run(PROCESS.set, self.outside)
        return context

    def pause(self, process: Process) -> None:
        """SIGSTOP: it makes no step until resumed."""
        if not process.paused and not process.dead:
            process.paused = True
            if process in self._runnable:
                self._runnable.remove(process)

    def resume(self, process: Process) -> None:
        """SIGCONT: what became due meanwhile comes now, late."""
        if process.paused:
            process.paused = False
            if process.ready and not process.dead:
                self._runnable.append(process)

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        self.pause(process)
        process.dead = True
        process.ready.clear()

    def dispose(self) -> None:
        """End what is left, so that nothing outlives its seed."""
        for process in self.processes:
            process.dead = True
            for task in process.tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # asyncio's own loop does so
                    _close(task.get_coro())
            process.tasks.clear()
            process.ready.clear()
        self._timers.clear()
        self.close()


def _close(work: Any) -> None:
    """End a coroutine where it stands; where its cleaning up awaits something, again."""
    for _ in range(10):
        try:
            work.close()
        except RuntimeError:
            continue  # it awaited in a `finally`: from there, close it once more
        except BaseException:
            return
        else:
            return
