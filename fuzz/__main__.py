"""``python -m fuzz``: hostile input for each reader in turn, until the time is up.

Half of the time hypothesis makes inputs. The other half, inputs that reached lines in a new way are damaged further,
so that what hides behind checks is reached. No input may run more lines than ``Target.allowed``, which is linear in its
size; and from time to time a part of a sample is repeated until it is eight times the size, which may take some eight
times as long, and not sixty-four times.

What fails is made small and kept under ``.fuzz/failed/``, with what it raised; move it to ``fuzz/corpus/`` once it is
mended. Inputs that reached something new are kept under ``.fuzz/new/`` and are where the next run goes on.
"""

import argparse
import hashlib
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import CodeType

from hypothesis import HealthCheck, Phase, given, settings

from fuzz.inputs import pumped, smaller
from fuzz.targets import TARGETS, Target
from fuzz.work import Work, work

KEPT = Path(__file__).resolve().parents[1] / ".fuzz"
_MOST_KEPT = 4096  # octets of an input that is damaged further
_SMALL, _TIMES = 8 * 1024, 8
_MOST_FAILURES = 10
# What takes time by the square takes 64 times as long.
_MOST_TIME, _LEAST_SECONDS = 24, 0.05


@dataclass
class Campaign:
    """What is known of one reader: what was tried and reached, and what failed."""

    target: Target
    random: random.Random
    steps: set[tuple[CodeType, int, int]] = field(default_factory=set)
    samples: list[bytes] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    failures: dict[str, bytes] = field(default_factory=dict)

    def go_on(self, until: float) -> None:
        """Try inputs until then."""
        half = time.monotonic() + (until - time.monotonic()) / 2
        while time.monotonic() < half and not self.failures:
            self._by_hypothesis()
        while time.monotonic() < until:
            self._guided()
            if self.tried["guided"] % 50 == 0:
                self._growing()

    def start(self) -> None:
        """Take up the corpus, and what earlier runs reached."""
        folder = KEPT / "new" / self.target.name
        kept = [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []
        for each in (*self.target.seeds.samples, *kept):
            self._try(each, "corpus", keep=False)

    def _by_hypothesis(self) -> None:
        failing: list[bytes] = []

        @settings(
            max_examples=300, database=None, deadline=None, derandomize=False, suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )  # fmt: skip
        @given(self.target.seeds.strategy())
        def every_input(data: bytes) -> None:
            self.tried["hypothesis"] += 1
            try:
                self.target.read(data)
            except Exception:
                failing.append(data)
                raise

        with suppress(Exception):
            every_input()
        if failing:
            self._failed(failing[-1])

    def _guided(self) -> None:
        self._try(self.target.seeds.damaged(self.random, self.random.choice(self.samples)), "guided")

    def _try(self, data: bytes, how: str, *, keep: bool = True) -> None:
        self.tried[how] += 1
        if _raised(self.target, data):
            self._failed(data)
            return
        done = self._count(data)
        new = done.steps - self.steps
        self.steps |= new
        if data and (new or not keep):
            self.samples.append(data[:_MOST_KEPT])
        if new and keep and len(data) <= _MOST_KEPT:
            _write(KEPT / "new" / self.target.name / _short(data), data)

    def _count(self, data: bytes) -> Work:
        done = work(partial(self.target.read, data))
        if done.lines > self.target.allowed(data):
            self._keep(data, f"costs too much: {done.lines} lines for {len(data)} octets")
        return done

    def _growing(self) -> None:
        self.tried["growing"] += 1
        make = pumped(self.random.choice(self.samples), self.random, self.target.is_der)
        small = make(min(_SMALL, self.target.largest // _TIMES // 2))
        large = make(len(small) * _TIMES)
        if len(large) < 4 * len(small):
            return
        factor = len(large) / len(small) / _TIMES
        if _raised(self.target, large):
            self._failed(large)
            return
        self._count(large)
        seconds = [_seconds(self.target, data) for data in (small, large)]
        if seconds[1] > max(_LEAST_SECONDS, _MOST_TIME * factor * seconds[0]):
            again = [min(_seconds(self.target, data) for _ in range(5)) for data in (small, large)]
            if again[1] > max(_LEAST_SECONDS, _MOST_TIME * factor * again[0]):
                told = f"{again[0]:.4f} s for {len(small)} octets, {again[1]:.4f} s for {len(large)}"
                self._keep(large, f"grows faster than its input: {told}")

    def _failed(self, data: bytes) -> None:
        error = _raised(self.target, data)
        where = _where(error)
        if where in self.failures:
            return
        data = smaller(data, lambda each: _where(_raised(self.target, each)) == where)
        self._keep(data, where)

    def _keep(self, data: bytes, why: str) -> None:
        if why in self.failures or len(self.failures) >= _MOST_FAILURES:
            return
        self.failures[why] = data
        path = KEPT / "failed" / self.target.name / _short(data)
        _write(path, data)
        print(f"{self.target.name}: {why}\n  {path}: {data[:120]!r}", file=sys.stderr, flush=True)


def _raised(target: Target, data: bytes) -> Exception | None:
    try:
        target.read(data)
    except Exception as error:  # noqa: BLE001 (what it is decides whether a smaller input fails in the same way)
        return error
    return None


def _where(error: Exception | None) -> str:
    if error is None:
        return ""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name} ({Path(last.filename).name}:{last.lineno}): {str(error)[:100]}"


def _seconds(target: Target, data: bytes) -> float:
    before = time.process_time()
    target.read(data)
    return time.process_time() - before


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _each(campaigns: list[Campaign], seconds: float, turn: Callable[[Campaign, float], None]) -> None:
    """Ten turns for each reader, so that a run that is ended early has tried all of them."""
    turns = max(1, min(10, int(seconds / len(campaigns) / 2)))
    end = time.monotonic() + seconds
    for left in range(turns * len(campaigns), 0, -1):
        now = time.monotonic()
        turn(campaigns[-left % len(campaigns)], now + max(0.0, end - now) / left)


def main() -> int:
    """0 where nothing was found, 1 where something was."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", type=lambda text: text.split(","), help=f"some of {','.join(TARGETS)}")
    parser.add_argument("--seed", type=int, default=None, help="of the inputs that are damaged further; any by default")
    options = parser.parse_args()
    if set(options.only or ()) - set(TARGETS):
        parser.error(f"the readers are {', '.join(TARGETS)}")
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", file=sys.stderr)
    chosen = [each for each in TARGETS.values() if not options.only or each.name in options.only]
    campaigns = [Campaign(each, random.Random(seed)) for each in chosen]  # noqa: S311 (nothing secret)
    for each in campaigns:
        each.start()
    _each(campaigns, options.seconds, lambda campaign, until: campaign.go_on(until))
    for each in campaigns:
        counts = ", ".join(f"{count:,} {how}" for how, count in each.tried.items())
        print(f"{each.target.name}: {len(each.failures)} found; {counts}; {len(each.steps):,} steps", file=sys.stderr)
    return 1 if any(each.failures for each in campaigns) else 0


if __name__ == "__main__":
    sys.exit(main())
