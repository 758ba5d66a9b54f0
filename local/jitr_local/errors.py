"""The errors of the local stack."""

from jitr.errors import InputError, JitrError


class StackError(JitrError):
    """The local stack could not be started, reached, deployed to or stopped; the message says why."""


class NotSetUp(InputError):
    """This checkout lacks an environment that the local stack needs; the message says how to get it."""
