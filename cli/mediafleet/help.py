"""How help is laid out: an option's name on a line of its own, its meaning below.

A table of options needs more than 60 columns for `--redis-sentinel-password` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from typer import BadParameter
from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command whose options stand under the headings of their panels."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """The context; of a command of two words the environment variables have both."""
        if info_name and " " in info_name:
            name = re.sub("[ -]", "_", info_name).upper()
            extra["auto_envvar_prefix"] = f"{parent and parent.auto_envvar_prefix}_{name}"
        try:
            return super().make_context(info_name, args, parent, **extra)
        except BadParameter as error:
            # typer has pydantic judge values, which says so.
            error.message = error.message.removeprefix("Value error, ")
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write every option, in the order of declaration."""
        _write_options(self.get_params(ctx), ctx, formatter)


class Group(TyperGroup):
    """The console script: commands in the order of use, under the headings of their panels.

    `COMMAND PART` is a command of its own where there is one of that name: it takes none of the
    options of COMMAND.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for parameter in self.params:
            # Those of typer's own (`--install-completion`) are for people, not for pods.
            parameter.allow_from_autoenv = False  # type: ignore[attr-defined]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first two words name, else that of the first one."""
        both = " ".join(args[:2])
        if len(args) > 1 and both in self.commands:
            return both, self.commands[both], args[2:]
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands as they were added; typer would sort them."""
        return list(self.commands)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then the options."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            panels.setdefault(panel, []).append((name, command.get_short_help_str(limit=200)))
        width = max(len(name) for name in self.commands) + 2
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(width - 2), text) for name, text in rows])
        _write_options(self.get_params(ctx), ctx, formatter)


def _write_options(parameters: Iterable[Any], ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in parameters:
        record = parameter.get_help_record(ctx)
        if record is not None:
            other = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panel = getattr(parameter, "rich_help_panel", None) or other
            panels.setdefault(panel, []).append(record)
    for panel, records in panels.items():
        with formatter.section(panel):
            for names, text in records:
                formatter.write_text(names)
                _write_meaning(text, formatter)


def _write_meaning(text: str, formatter: Any) -> None:
    with formatter.indentation(), formatter.indentation():
        # typer sets what it adds (environment variable, default) off by two spaces.
        meaning, _, added = text.partition("  [")
        if not meaning.startswith("["):
            formatter.write_text(" ".join(meaning.split()))
        if added:
            formatter.write_text(added.removesuffix("]"))
