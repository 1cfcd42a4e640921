"""Every option of the batcher is observed to have taken effect; failures stay with whom they belong to."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from tests.serving.wire import until

from loopline.core.errors import InvalidExample
from loopline.serving.batcher import Batcher, BoundDecode, Outcome
from loopline.serving.inputs import file_decoder
from loopline.serving.refusals import Refusal
from loopline.serving.settings import ServeSettings

Scenario = Callable[[], Coroutine[Any, Any, None]]


@asynccontextmanager
async def running(breakable: Any, **settings: Any) -> AsyncIterator[Batcher]:
    """A batcher with one decoder thread, unless the settings say otherwise."""
    failures: list[Exception] = []
    batcher = Batcher(
        breakable.predict, ServeSettings(**{"num_decode_threads": 1, **settings}), on_failure=failures.append
    )
    batcher.failures = failures  # type: ignore[attr-defined]  # what a test wants to see afterwards
    batcher.start()
    try:
        yield batcher
    finally:
        breakable.may_go_on.set()
        await batcher.close()


async def occupy(batcher: Batcher, breakable: Any, decode: BoundDecode) -> asyncio.Task[Outcome]:
    """Holds the engine in a batch of one, so that what comes next must wait."""
    breakable.may_go_on.clear()
    task = asyncio.create_task(batcher.submit(decode, timeout_s=10))
    await until(lambda: len(breakable.batch_sizes) == 1)
    return task


def test_what_waits_is_predicted_together_up_to_max_batch_size(breakable: Any, picture: bytes) -> None:
    """While the engine is busy seven pictures gather; they leave in batches of at most three."""

    async def scenario() -> None:
        decode = partial(file_decoder(picture), breakable)
        async with running(breakable, max_batch_size=3) as batcher:
            first = await occupy(batcher, breakable, decode)
            rest = [asyncio.create_task(batcher.submit(decode, timeout_s=10)) for _ in range(7)]
            await until(lambda: len(batcher._ready) == 7)
            breakable.may_go_on.set()
            outcomes = await asyncio.gather(first, *rest)
        assert breakable.batch_sizes == [1, 3, 3, 1]
        assert [outcome.batch_size for outcome in outcomes] == [1, 3, 3, 3, 3, 3, 3, 1]

    asyncio.run(scenario())


@pytest.mark.parametrize(("delay_ms", "sizes"), [(0.0, [1, 1]), (9000.0, [2])])
def test_max_queue_delay_waits_for_pictures_that_are_being_decoded(
    breakable: Any, picture: bytes, delay_ms: float, sizes: list[int]
) -> None:
    """Without delay the quick picture leaves alone; with delay it waits for the slow one, and no longer."""

    async def scenario() -> None:
        quick = partial(file_decoder(picture), breakable)
        may_end = threading.Event()

        def slow() -> Any:
            may_end.wait(10)
            return quick()

        async with running(breakable, max_queue_delay_ms=delay_ms, num_decode_threads=2) as batcher:
            late = asyncio.create_task(batcher.submit(slow, timeout_s=10))
            early = asyncio.create_task(batcher.submit(quick, timeout_s=10))
            if delay_ms:
                await until(lambda: len(batcher._ready) == 1)
                await asyncio.sleep(0.02)
                assert not early.done()
            else:
                await until(early.done)
            may_end.set()
            await asyncio.gather(early, late)
        assert breakable.batch_sizes == sizes

    asyncio.run(scenario())


def test_max_queue_delay_ends(breakable: Any, picture: bytes) -> None:
    """A picture whose company does not come in time leaves without."""

    async def scenario() -> None:
        quick = partial(file_decoder(picture), breakable)
        has_begun, may_end = threading.Event(), threading.Event()

        def slow() -> Any:
            has_begun.set()
            may_end.wait(10)
            return quick()

        async with running(breakable, max_queue_delay_ms=60, num_decode_threads=2) as batcher:
            late = asyncio.create_task(batcher.submit(slow, timeout_s=10))
            # A task begins when the loop comes to it; submitted before, the quick one would have no company.
            await until(has_begun.is_set)
            outcome = await batcher.submit(quick, timeout_s=10)
            may_end.set()
            await late
        assert outcome.batch_size == 1
        assert 50 < outcome.queue_ms < 1000

    asyncio.run(scenario())


def test_a_lone_picture_never_waits(breakable: Any, picture: bytes) -> None:
    """With nobody else on the server a long delay costs nothing."""

    async def scenario() -> None:
        async with running(breakable, max_queue_delay_ms=1000) as batcher:
            outcome = await batcher.submit(partial(file_decoder(picture), breakable), timeout_s=10)
        assert outcome.queue_ms < 500

    asyncio.run(scenario())


def test_max_queue_size_sheds(breakable: Any, picture: bytes) -> None:
    """One picture over the limit is refused at once with 429; when there is room again, it is taken."""

    async def scenario() -> None:
        decode = partial(file_decoder(picture), breakable)
        async with running(breakable, max_queue_size=2, max_batch_examples=2) as batcher:
            first = await occupy(batcher, breakable, decode)
            second = asyncio.create_task(batcher.submit(decode, timeout_s=10))
            await until(lambda: batcher.num_admitted == 2)
            with pytest.raises(Refusal, match="2 examples are waiting") as caught:
                await batcher.submit(decode, timeout_s=10)
            assert caught.value.status == 429
            assert caught.value.headers == {"Retry-After": "1"}
            breakable.may_go_on.set()
            await asyncio.gather(first, second)
            await batcher.submit(decode, timeout_s=10)

    asyncio.run(scenario())


def test_a_time_out_is_a_504_and_the_engine_skips_what_nobody_waits_for(breakable: Any, picture: bytes) -> None:
    """What timed out in the queue is not predicted; an engine that hangs is reported."""

    async def scenario() -> None:
        decode = partial(file_decoder(picture), breakable)
        async with running(breakable) as batcher:
            breakable.may_go_on.clear()
            hanging = asyncio.create_task(batcher.submit(decode, timeout_s=0.2))
            await until(lambda: len(breakable.batch_sizes) == 1)
            with pytest.raises(Refusal) as caught:
                await batcher.submit(decode, timeout_s=0.05)
            assert caught.value.status == 504
            with pytest.raises(Refusal, match="no answer within"):
                await hanging
            assert ["the engine gave no answer" in str(error) for error in batcher.failures] == [True]  # type: ignore[attr-defined]  # set by `running`
            assert batcher.num_admitted == 2
            breakable.may_go_on.set()
            await until(lambda: batcher.num_admitted == 0)
        assert breakable.batch_sizes == [1]

    asyncio.run(scenario())


def test_who_is_alone_is_answered_in_the_loops_thread_once_answers_are_known_to_be_quick(
    breakable: Any, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After enough quick ones, and only where the caller says that nobody else waits; the first slow one ends it."""
    predict, threads = breakable.predict, []

    def noted(samples: Any) -> Any:
        threads.append(threading.current_thread().name)
        return predict(samples)

    monkeypatch.setattr(breakable, "predict", noted)
    monkeypatch.setattr("loopline.serving.batcher._NUM_QUICK", 3)

    async def scenario() -> None:
        decode = partial(file_decoder(picture), breakable)
        here = threading.current_thread().name
        async with running(breakable) as batcher:
            batcher._each_ms = deque(maxlen=3)
            for _ in range(3):
                await batcher.submit(decode, timeout_s=10, is_alone=True)
            assert threads == ["engine"] * 3
            # However slow this machine is at the moment.
            batcher._each_ms.extend([1.0] * 3)
            outcome = await batcher.submit(decode, timeout_s=10, is_alone=True)
            assert (threads[-1], outcome.batch_size) == (here, 1)
            await batcher.submit(decode, timeout_s=10)
            assert threads[-1] == "engine"
            # A hiccup of the machine is no slow model.
            batcher._each_ms.extend([1.0, 150.0, 1.0])
            await batcher.submit(decode, timeout_s=10, is_alone=True)
            assert threads[-1] == here
            batcher._each_ms.append(1000.0)
            await batcher.submit(decode, timeout_s=10, is_alone=True)
            assert threads[-1] == "engine"

    asyncio.run(scenario())


def test_on_one_core_quick_examples_take_turns_with_the_event_loop(
    breakable: Any, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many at a turn as its time allows; once one is slow, the rest go to the engine's thread."""
    predict, seen = breakable.predict, []

    def noted(samples: Any) -> Any:
        seen.append((threading.current_thread().name, len(samples)))
        return predict(samples)

    monkeypatch.setattr(breakable, "predict", noted)

    async def scenario() -> None:
        decode = partial(file_decoder(picture), breakable)
        here = threading.current_thread().name
        async with running(breakable, num_decode_threads=0) as batcher:

            async def submit(num_examples: int) -> None:
                outcomes = [batcher.submit(decode, timeout_s=10) for _ in range(num_examples)]
                await asyncio.gather(*outcomes)
                assert batcher.num_admitted == 0

            for name in ("_TURN_MS", "_SHORT_TURN_MS"):
                monkeypatch.setattr(f"loopline.serving.batcher.{name}", 30_000.0)
            batcher._each_ms = deque([10_000.0] * 16, maxlen=16)
            monkeypatch.setattr("loopline.serving.batcher._QUICK_MS", 10_000.0)
            await submit(7)
            assert seen == [(here, 3), (here, 3), (here, 1)]
            seen.clear()
            # Whatever it takes is too long from now on.
            monkeypatch.setattr("loopline.serving.batcher._QUICK_MS", 0.0)
            await submit(2)
            assert {name for name, _ in seen} == {"engine"}
            seen.clear()
            monkeypatch.setattr(batcher, "_is_quick", iter([True] * 5 + [False]).__next__)
            await submit(5)
            assert seen[0] == (here, 3)
            assert {name for name, _ in seen[1:]} == {"engine"}

    asyncio.run(scenario())


def test_turns_are_short_while_ever_more_waits(breakable: Any, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that finds more than any before it takes one example, as does the next; from then on they take three."""
    settings = {"_QUICK_MS": 10_000.0, "_TURN_MS": 30_000.0, "_SHORT_TURN_MS": 5.0, "_NUM_SHORT": 2, "_QUIET_S": 0.0}
    for name, value in settings.items():
        monkeypatch.setattr(f"loopline.serving.batcher.{name}", value)

    async def scenario() -> None:
        decode = partial(file_decoder(picture), breakable)
        async with running(breakable, num_decode_threads=0) as batcher:
            batcher._each_ms = deque([10_000.0] * 16, maxlen=16)
            await asyncio.gather(*(batcher.submit(decode, timeout_s=10) for _ in range(8)))
            assert breakable.batch_sizes == [1, 1, 3, 3]
            # Quiet since: as many again are as many more.
            batcher._each_ms = deque([10_000.0] * 16, maxlen=16)
            await asyncio.gather(*(batcher.submit(decode, timeout_s=10) for _ in range(4)))
        assert breakable.batch_sizes[4:] == [1, 1, 2]

    asyncio.run(scenario())


def test_what_fails_in_the_loops_thread_fails_as_in_any(breakable: Any, picture: bytes) -> None:
    """No example is an error of its own; an engine that breaks is a 503, and reported."""

    async def scenario() -> None:
        decode = partial(file_decoder(picture), breakable)
        async with running(breakable) as batcher:
            batcher._each_ms.extend([1.0] * 16)
            with pytest.raises(InvalidExample):
                await batcher.submit(partial(file_decoder(b"no picture"), breakable), timeout_s=10, is_alone=True)
            breakable.is_broken = True
            batcher._each_ms.extend([1.0] * 16)
            with pytest.raises(Refusal) as caught:
                await batcher.submit(decode, timeout_s=10, is_alone=True)
            assert caught.value.status == 503
            await until(lambda: len(batcher.failures) == 1)  # type: ignore[attr-defined]  # set by `running`
            assert batcher.num_admitted == 0

    asyncio.run(scenario())


def test_a_picture_that_cannot_be_decoded_fails_alone(breakable: Any, picture: bytes) -> None:
    """Of forty pictures, every other one broken, twenty are answered."""

    async def scenario() -> None:
        async with running(breakable, num_decode_threads=2) as batcher:
            raws = [picture, b"no picture"] * 20
            said = await asyncio.gather(
                *(batcher.submit(partial(file_decoder(raw), breakable), timeout_s=10) for raw in raws),
                return_exceptions=True,
            )
        assert [isinstance(each, InvalidExample) for each in said] == [False, True] * 20
        assert sum(breakable.batch_sizes) == 20

    asyncio.run(scenario())


def test_a_batch_that_fails_is_tried_one_by_one(breakable: Any, picture: bytes) -> None:
    """One member that breaks the engine takes nobody with it."""
    inner = breakable.inner
    poison = inner.decode(picture)

    class Fragile:
        decode = staticmethod(inner.decode)
        may_go_on = breakable.may_go_on
        batch_sizes = breakable.batch_sizes

        def predict(self, samples: Any) -> Any:
            answers = breakable.predict(samples)
            if any(sample is poison for sample in samples):
                raise RuntimeError("poisoned")
            return answers

    async def scenario() -> None:
        good = partial(file_decoder(picture), inner)

        def bad() -> Any:
            decoded = good()
            return type(decoded)(decoded.raw, decoded.digest, poison)

        fragile = Fragile()
        async with running(fragile) as batcher:
            first = await occupy(batcher, fragile, good)
            rest = [asyncio.create_task(batcher.submit(each, timeout_s=10)) for each in (good, bad, good)]
            await until(lambda: len(batcher._ready) == 3)
            fragile.may_go_on.set()
            said = await asyncio.gather(first, *rest, return_exceptions=True)
        assert [isinstance(each, Outcome) for each in said] == [True, True, False, True]
        assert isinstance(said[2], Refusal)
        assert said[2].status == 503

    asyncio.run(scenario())


def test_answers_that_do_not_match_are_a_failure(breakable: Any, picture: bytes) -> None:
    """A predictor that returns too few answers never makes a request wait for ever."""

    async def scenario() -> None:
        decode = partial(file_decoder(picture), breakable.inner)
        breakable.inner = type("Silent", (), {"predict": lambda _self, _samples: []})()
        async with running(breakable) as batcher:
            with pytest.raises(Refusal, match="gave 0 answers to 1 examples"):
                await batcher.submit(decode, timeout_s=5)

    asyncio.run(scenario())


def test_close_waits_for_what_was_accepted(breakable: Any, picture: bytes) -> None:
    async def scenario() -> None:
        decode = partial(file_decoder(picture), breakable)
        async with running(breakable) as batcher:
            tasks = [asyncio.create_task(batcher.submit(decode, timeout_s=10)) for _ in range(50)]
            await asyncio.sleep(0)
            started_s = time.perf_counter()
        assert all(task.done() and task.exception() is None for task in tasks)
        assert time.perf_counter() - started_s < 5

    asyncio.run(scenario())
