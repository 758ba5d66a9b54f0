"""Inputs: good ones from the corpus, damaged as bytes and as DER trees, and whatever hypothesis makes of tokens."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

from hypothesis import strategies as st

from jitr.x509 import der


@dataclass
class Node:
    """One element: its tag, its content, and what stands inside where that could be taken apart.

    The first octet of a BIT STRING stays in ``content``.
    """

    tag: int
    content: bytes
    inner: "list[Node]"


_EDGES = (b"", b"\x00", b"\xff", b"\x80", b"\x7f" * 5, b"\x00" * 40, b"\xff" * 40, b"\x80" * 70, b"-", b"0" * 30)
_TAGS = (0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A, 0x0C, 0x13, 0x17, 0x18, 0x1C, 0x1E, 0x1F, 0x30, 0x31, 0x80,
         0x81, 0x82, 0x86, 0x87, 0xA0, 0xA3, 0xA4, 0xBF, 0xFF)  # fmt: skip
_DEEPEST = 16


@dataclass(frozen=True)
class Seeds:
    """What inputs of one reader are made from."""

    samples: Sequence[bytes]
    tokens: Sequence[bytes]
    is_der: bool = False

    def strategy(self) -> st.SearchStrategy[bytes]:
        """Inputs that hypothesis makes smaller once one of them fails."""
        pieces = st.lists(st.sampled_from([*self.tokens, *_EDGES]) | st.binary(max_size=6), max_size=40).map(b"".join)
        damaged = st.builds(
            lambda sample, edits: _edited(sample, edits),
            st.sampled_from(self.samples),
            st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(0, 12), st.sampled_from([*self.tokens, *_EDGES]))),
        )
        trees = st.builds(self.damaged, st.randoms(use_true_random=False))
        return st.one_of(st.binary(max_size=300), pieces, damaged, trees)

    def damaged(self, random: Random, sample: bytes | None = None) -> bytes:
        """A sample, any or the one given, changed in some places."""
        sample = random.choice(self.samples) if sample is None else sample
        if self.is_der and _is_der(sample) and random.random() < 0.7:
            return self._damaged_tree(sample, random)
        return self.damaged_bytes(sample, random)

    def damaged_bytes(self, sample: bytes, random: Random) -> bytes:
        """Octets changed, taken out, put in, doubled, or taken from another sample."""
        data = bytearray(sample)
        for _ in range(random.choice((1, 1, 2, 3, 6))):
            at = random.randrange(len(data) + 1)
            end = min(len(data), at + random.choice((0, 1, 1, 2, 4, 20)))
            new = random.choice(
                (
                    lambda: random.choice(self.tokens),
                    lambda: random.choice(_EDGES),
                    lambda: random.randbytes(random.randrange(4)),
                    lambda a=at: bytes(data[a : a + random.randrange(40)]) * random.choice((1, 2, 2, 50)),
                    lambda: _part(random.choice(self.samples), random),
                )
            )()
            data[at:end] = new
        return bytes(data)

    def _damaged_tree(self, sample: bytes, random: Random) -> bytes:
        tree = _tree(sample, 0)
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            places = _places(tree)
            if not places:
                break
            nodes, at = random.choice(places)
            _damage(nodes, at, random, self._trees[random.randrange(len(self._trees))])
        return _bytes(tree)

    @cached_property
    def _trees(self) -> list[list[Node]]:
        """Of the samples that are DER throughout."""
        return [_tree(each, 0) for each in self.samples if _is_der(each)]


def pumped(sample: bytes, random: Random, is_der: bool) -> Callable[[int], bytes]:
    """A sample with one of its parts repeated, as often as it takes to reach a size: it shows what grows too fast."""
    if is_der and _is_der(sample) and random.random() < 0.8:
        chosen = random.randrange(len(_places(_tree(sample, 0))))

        def of_nodes(size: int) -> bytes:
            tree = _tree(sample, 0)
            nodes, at = _places(tree)[chosen]
            nodes[at:at] = [nodes[at]] * max(1, size // max(2, len(_bytes([nodes[at]]))))
            return _bytes(tree)

        return of_nodes
    start = random.randrange(len(sample))
    part = sample[start : start + random.choice((1, 2, 3, 8, 30, 200))]
    return lambda size: sample[:start] + part * max(1, size // len(part)) + sample[start:]


def smaller(data: bytes, still: Callable[[bytes], bool]) -> bytes:
    """A smaller input of which the same is true: parts are taken out while it stays so."""
    size = max(1, len(data) // 2)
    while size:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if still(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def _edited(sample: bytes, edits: Sequence[tuple[int, int, bytes]]) -> bytes:
    data = bytearray(sample)
    for at, length, new in edits:
        at %= len(data) + 1
        data[at : at + length] = new
    return bytes(data)


def _part(data: bytes, random: Random) -> bytes:
    start = random.randrange(len(data) + 1)
    return data[start : start + random.choice((1, 4, 30, 200))]


# --- DER as a tree, so that what is changed inside does not just break the lengths around it


def _tree(data: bytes, depth: int) -> list[Node]:
    return [_node(tag, content, depth) for tag, content in der.children(data)]


def _is_der(data: bytes) -> bool:
    try:
        return data[:1] == b"\x30" and bool(der.children(data))
    except der.DerError:
        return False


def _node(tag: int, content: bytes, depth: int) -> Node:
    inner = content[1:] if tag == der.BIT_STRING else content
    if depth < _DEEPEST and inner and (tag & 0x20 or tag in (der.OCTET_STRING, der.BIT_STRING)):
        try:
            return Node(tag, content[: len(content) - len(inner)], _tree(inner, depth + 1))
        except der.DerError:
            pass
    return Node(tag, content, [])


def _bytes(nodes: Sequence[Node]) -> bytes:
    return b"".join(der.element(node.tag & 0xFF, node.content + _bytes(node.inner)) for node in nodes)


def _places(nodes: list[Node]) -> list[tuple[list[Node], int]]:
    found = []
    waiting = [nodes]
    while waiting:
        here = waiting.pop()
        for at, node in enumerate(here):
            found.append((here, at))
            if node.inner:
                waiting.append(node.inner)
    return found


def _damage(nodes: list[Node], at: int, random: Random, other: list[Node]) -> None:
    random.choice(_WAYS)(nodes, at, random, other)


def _repeated(nodes: list[Node], at: int, random: Random, _: list[Node]) -> None:
    nodes[at:at] = [nodes[at]] * random.choice((1, 1, 2, 40))


def _retagged(nodes: list[Node], at: int, random: Random, _: list[Node]) -> None:
    nodes[at] = replace(nodes[at], tag=random.choice(_TAGS))


def _on_edge(nodes: list[Node], at: int, random: Random, _: list[Node]) -> None:
    nodes[at] = Node(nodes[at].tag, random.choice(_EDGES), [])


def _one_octet(nodes: list[Node], at: int, random: Random, _: list[Node]) -> None:
    content = _edited(nodes[at].content, [(random.randrange(300), 1, random.randbytes(1))])
    nodes[at] = replace(nodes[at], content=content)


def _replaced(nodes: list[Node], at: int, random: Random, other: list[Node]) -> None:
    nodes[at] = _copy(other, random)


def _inserted(nodes: list[Node], at: int, random: Random, other: list[Node]) -> None:
    nodes.insert(at, _copy(other, random))


def _copy(other: list[Node], random: Random) -> Node:
    there, which = random.choice(_places(other))
    return deepcopy(there[which])


def _wrapped(nodes: list[Node], at: int, random: Random, _: list[Node]) -> None:
    for _times in range(random.choice((1, 3, 30))):
        nodes[at] = Node(der.SEQUENCE, b"", [nodes[at]])


def _swapped(nodes: list[Node], at: int, random: Random, _: list[Node]) -> None:
    which = random.randrange(len(nodes))
    nodes[at], nodes[which] = nodes[which], nodes[at]


def _gone(nodes: list[Node], at: int, _random: Random, _: list[Node]) -> None:
    del nodes[at]


_WAYS = (_repeated, _retagged, _on_edge, _one_octet, _one_octet, _replaced, _inserted, _wrapped, _swapped, _gone)
