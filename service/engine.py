"""The codecs on their device: each request's thread sees a ``Codec``, whose networks run in the batcher."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from gancodec.codec import Codec, Opened
from gancodec.effort.levels import LEVELS
from gancodec.effort.request import Effort
from gancodec.errors import FormatError, MissingModelError
from gancodec.picture import Metadata, Picture
from gancodec.pipeline import Symbols
from gancodec.registry import shipped_models
from service.batcher import Batcher, Job, Limits
from service.measures import Measures
from service.pace import Pace
from service.problems import BadParameter, NotReady, OutOfMemory
from service.refining import Refined, Watch
from service.settings import Settings

QUANTISE, DECODE = "quantise", "decode"
LEAST_TILE_PX = 256
CANARY_SIDE_PX = 64
CANARY_EFFORT: Final = 5
"""The lowest with all that there is; the service may take less."""


class Key(NamedTuple):
    """What jobs that go through together have in common."""

    kind: str
    codec: str
    padded: tuple[int, int]
    effort: int = 0


@dataclass(slots=True, eq=False)
class Ticket:
    """What is known of one request while it is in work."""

    deadline: float
    gone: bool = False
    queue_ms: float = 0.0
    """Time in the queue, of all its jobs."""
    compute_ms: float = 0.0
    """Time in the networks, of all its jobs and those that went with them."""
    batch: int = 0
    """Pictures in the largest batch of them."""
    is_cut_short: bool = False
    """Whether there was less time than its effort would have taken."""
    _last_s: float = 0.0
    """Of its last job, the queue included."""
    _job: Job | None = None
    """The one under way: a request has one at a time."""

    def drop(self) -> None:
        """Nobody waits for the answer any more: nothing of it shall cost the device time."""
        self.gone = True
        job = self._job  # its own thread may be done with it at any moment
        if job is not None:
            job.give_up()

    def begin(self, job: Job) -> None:
        """It has a job in the queue."""
        self._job = job
        if self.gone:  # meanwhile
            job.give_up()

    def end(self) -> None:
        """The job is answered; its numbers are kept, and nothing else."""
        job, self._job = self._job, None
        assert job is not None
        self.queue_ms += 1000 * job.waited_s
        self.compute_ms += 1000 * job.ran_s
        self.batch = max(self.batch, job.batch)
        self._last_s = job.waited_s + job.ran_s

    def step(self, done: int, of: int) -> bool:
        """After a refinement of so many iterations, and with 0 before a further file: whether there is time for one."""
        if done == of:
            return not self.gone
        goes_on = done == 0 and not self.gone and time.monotonic() + self._last_s <= self.deadline
        self.is_cut_short = self.is_cut_short or not goes_on
        return goes_on

    def go_on(self) -> None:
        """Raise NotReady if nobody waits any more."""
        if self.gone:
            raise NotReady("the request was given up")


class Engine:
    """Loads codecs, answers for their health, and runs batches."""

    def __init__(self, settings: Settings, measures: Measures) -> None:
        self._settings, self._measures = settings, measures
        self.codecs: dict[str, Codec] = {}
        self.ready = False
        self.failure = ""
        """Why it never became ready."""
        self._batcher: Batcher | None = None
        self.pace = Pace()

    def start(self) -> None:
        """Load the codecs, and prove that each one brings a picture back.  Raises ModelError, ConfigError."""
        names = self._settings.codecs or [entry.name for entry in shipped_models()]
        if not names:
            raise MissingModelError("there are no codecs to serve", hint="set GANCODEC_SERVICE_CODECS")
        codecs = [Codec.load(name, self._settings.device) for name in names]
        self.codecs = {codec.entry.name: codec for codec in codecs}  # at once: others look at it meanwhile
        limits = Limits(
            pictures=self._settings.batch_pictures,
            pixels=self._settings.batch_pixels or min(codec.batch_pixels for codec in self.codecs.values()),
            delay_s=self._settings.batch_delay_ms / 1000,
            small_cost=self._settings.small_pixels,
        )
        self._batcher = Batcher(self._run, limits, observe=self._observe)
        for codec in self.codecs.values():
            codec.pipeline.between = self._batcher.between
        self._canary()
        self.ready = True

    def stop(self) -> None:
        """Not ready from now on; what is in work still, fails."""
        self.ready = False
        if self._batcher is not None:
            self._batcher.close()

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return 0 if self._batcher is None else self._batcher.waiting

    def codec(self, name: str | None) -> Codec:
        """By name, or the first one.  Raises BadParameter, NotReady."""
        if not self.ready:
            raise NotReady("weights are being loaded, or the service is closing", hint="ask /readyz")
        if name is None:
            return next(iter(self.codecs.values()))
        if name not in self.codecs:
            raise BadParameter(f"no codec is called {name!r}", hint=f"known are {', '.join(self.codecs)}")
        return self.codecs[name]

    def codec_of(self, model_id: bytes) -> Codec:
        """The one that a file needs.  Raises MissingModelError."""
        self.codec(None)
        for codec in self.codecs.values():
            if codec.entry.model_id == model_id:
                return codec
        raise MissingModelError(f"the file needs the model {model_id.hex()}", hint="see /v1/codecs for those here")

    def for_request(self, codec: Codec, ticket: Ticket) -> BatchedCodec:
        """The codec as one request's thread uses it."""
        return BatchedCodec(codec, self, ticket)

    def work(self, ticket: Ticket, key: Key, item: Any) -> Any:
        """Put one picture into the queue and wait for what becomes of it."""
        assert self._batcher is not None
        pixels = key.padded[0] * key.padded[1]
        job = Job(key, item, pixels, ticket.deadline, LEVELS[key.effort].relative_time)
        self._batcher.submit(job)
        ticket.begin(job)
        try:
            return job.future.result()
        finally:
            ticket.end()

    def _run(self, key: Hashable, items: Sequence[Any]) -> Sequence[Any]:
        """A batch on the device; without memory for all, in halves, and for one, in smaller tiles."""
        assert isinstance(key, Key)
        codec = self.codecs[key.codec]
        try:
            return self._on_device(key, codec, items)
        except (torch.OutOfMemoryError, MemoryError):
            self._measures.out_of_memory.inc()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(items) > 1:
            middle = len(items) // 2
            return [*self._run(key, items[:middle]), *self._run(key, items[middle:])]
        tile_px = codec.pipeline.tile_px
        if tile_px <= LEAST_TILE_PX:
            return [OutOfMemory("even in small tiles", hint="send a smaller picture, or try again later")]
        codec.pipeline.tile_px = tile_px // 2
        try:
            return self._run(key, items)
        finally:
            codec.pipeline.tile_px = tile_px

    def _observe(self, jobs: Sequence[Job]) -> None:
        self._measures.batch(jobs)
        self.pace.batch(jobs)

    def _on_device(self, key: Key, codec: Codec, items: Sequence[Any]) -> Sequence[Any]:
        assert self._batcher is not None
        made: Sequence[Any]
        if key.kind == QUANTISE:
            pictures, qualities = zip(*items, strict=True)
            watch = Watch(self._batcher.has_time)
            effort = Effort(level=key.effort, step=watch) if key.effort else None
            made = [Refined(each, watch.done, watch.of) for each in codec.quantise(pictures, qualities, effort)]
        else:
            made = codec.decode(items)
        self._measures.parts(codec.pipeline.clock.take())
        return made

    def _canary(self) -> None:
        """A small picture there and back, through the very way of the requests.  Raises whatever is wrong."""
        rows, columns = np.mgrid[:CANARY_SIDE_PX, :CANARY_SIDE_PX]
        colour_HWC = np.stack([2 * rows, 2 * columns, rows + columns], 2).astype(np.uint8)
        for codec in self.codecs.values():
            ticket = Ticket(time.monotonic() + self._settings.deadline_s)
            own = self.for_request(codec, ticket)
            picture = Picture(colour_HWC=colour_HWC, alpha_HW=None, metadata=Metadata())
            effort = min(CANARY_EFFORT, self._settings.max_effort)
            back = own.decompress_picture(own.compress(picture, effort=effort)).colour_HWC
            error = np.abs(back.astype(int) - colour_HWC).mean()
            if back.shape != colour_HWC.shape or error > 40:
                raise RuntimeError(f"{codec.entry.name} does not bring a picture back: mean difference {error:.0f}")


class BatchedCodec(Codec):
    """A codec in the eyes of one request: networks run in the batcher, all else in the caller's thread."""

    def __init__(self, codec: Codec, engine: Engine, ticket: Ticket) -> None:
        self.entry, self.device, self.pipeline = codec.entry, codec.device, codec.pipeline
        self._engine, self._ticket = engine, ticket

    def spent(self, level: int) -> int:
        """The level of effort that one of this level comes to: a codec of one rate has nothing to spend it on."""
        return level if self.pipeline.has_quality else 0

    def quantise(
        self, pictures: Sequence[Picture], qualities_256: Sequence[int], effort: Effort | None = None
    ) -> list[Symbols]:
        """Each picture a job of its own; waits for all.

        Of the effort the level counts: the device has steps of its own, and this one's is told how each job ended.
        """
        level = 0 if effort is None else self.spent(effort.level)
        found: list[Symbols] = []
        for picture, quality in zip(pictures, qualities_256, strict=True):
            refined: Refined = self._work(QUANTISE, (picture, quality), picture.width, picture.height, level)
            if effort is not None:
                effort.step(refined.done, refined.of)
            found.append(refined.symbols)
        return found

    def decode(self, opened: Sequence[Opened]) -> list[Picture | FormatError]:
        """Each file a job of its own; waits for all."""
        found: list[Picture | FormatError] = []
        for each in opened:
            try:
                found.append(self._work(DECODE, each, each.header.width, each.header.height))
            except FormatError as exc:
                found.append(exc)
        return found

    def _work(self, kind: str, item: Any, width: int, height: int, effort: int = 0) -> Any:
        key = Key(kind, self.entry.name, self.padded_size(width, height), effort)
        return self._engine.work(self._ticket, key, item)
