"""How many bytes an item has, by which DynamoDB charges.

Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats".
"""

from collections.abc import Mapping
from typing import Any


def item_size(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the bytes of an item with typed values: of its attributes' names and of what they hold."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(typed: Mapping[str, Any]) -> int:
    ((kind, value),) = typed.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return (len(value.strip("-").replace(".", "")) + 1) // 2 + 1
        case "B":
            return len(bytes(value))
        case "SS" | "NS" | "BS":
            return sum(_size({kind[0]: each}) for each in value)
        case "L":
            return 3 + sum(1 + _size(each) for each in value)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _size(each) for name, each in value.items())
        case _:
            return 1  # true, false, or null
