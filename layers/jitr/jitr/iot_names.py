"""What AWS IoT takes as names of things and IoT policies, and in the attributes of things.

From the API reference: CreateThing, CreateThingType, CreateThingGroup, CreatePolicy, AttributePayload. Messages show
each as it stands there, ``[a-zA-Z0-9:_-]{1,128}``.
"""

import re
from functools import cached_property


class Syntax:
    """The texts that AWS IoT takes: ``characters`` is the inside of a character class, then the fewest and the most."""

    def __init__(self, characters: str, least: int, most: int) -> None:
        self.characters = characters
        self.most = most
        self._pattern = f"[{characters}]{{{least},{most}}}"

    def __str__(self) -> str:
        return self._pattern

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(self._pattern)

    def takes(self, text: str) -> bool:
        """Return whether AWS IoT takes a text."""
        return self._expression.fullmatch(text) is not None


THING_NAME = Syntax("a-zA-Z0-9:_-", 1, 128)  # thing types and thing groups as well
POLICY_NAME = Syntax("A-Za-z0-9_+=,.@-", 1, 128)
ATTRIBUTE_NAME = Syntax("a-zA-Z0-9_.,@/:#-", 1, 128)
ATTRIBUTE_VALUE = Syntax(r"a-zA-Z0-9_.,@/:#=\[\]-", 0, 800)
