"""Commands and groups that are imported when they are called, and listed without being imported."""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from jitr.text import nearest


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command by the place it is imported from (``module:name``) and its line in the list of commands."""

    place: str
    summary: str

    @property
    def exists(self) -> bool:
        """Whether its module is there, found without importing it."""
        try:
            return importlib.util.find_spec(self.place.partition(":")[0]) is not None
        except ModuleNotFoundError:
            return False

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self.place.partition(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.place} is not a command")
        return command


class LazyGroup(click.Group):
    """A group of commands that are imported when they are called. One whose module is not there is not a command."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name, in the order of the table."""
        found = (name for name, lazy in self._lazy.items() if lazy.exists)
        return list(dict.fromkeys((*found, *super().list_commands(ctx))))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of that name."""
        lazy = self._lazy.get(cmd_name)
        if lazy is not None and lazy.exists:
            return lazy.load()
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing any."""
        rows = [(name, self._summary(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _summary(self, ctx: click.Context, name: str) -> str:
        lazy = self._lazy.get(name)
        if lazy is not None and lazy.exists:
            return lazy.summary
        command = super().get_command(ctx, name)
        return command.get_short_help_str(limit=80) if command else ""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands from the table, without importing any, and options as every command does."""
        names = [each for each in self.list_commands(ctx) if each.startswith(incomplete)]
        found = [CompletionItem(each, help=self._summary(ctx, each)) for each in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that was meant; suggest the nearest for an unknown one."""
        name = args[0]
        known = self.list_commands(ctx)
        if name in known or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        near = nearest(name, known, 0.5)
        meant = f"Did you mean {near!r}?" if near else f"There are: {', '.join(known)}."
        raise click.UsageError(f"No such command {name!r}. {meant}", ctx)
