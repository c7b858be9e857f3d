"""The decorator that makes a function of the operator's a tool, and the error that the function may raise.

Nothing heavy is imported here: a server without tools loads this module, too.
"""

import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

MARK = "__parley_tool__"
"""Attribute of a decorated function that holds its `Options`."""
Function = TypeVar("Function", bound=Callable[..., Any])


class ToolError(Exception):
    """Raised by a tool to tell the model, in these words, why it can't do what it was asked to."""


@dataclass(frozen=True)
class Options:
    """The arguments of `tool`; see docs/tools.md."""

    name: str | None = None
    waiting: Sequence[str] = ()
    timeout: float | None = None
    thread: bool = False
    interruptable: bool | None = None
    reuse_s: float = 0
    hold_ms: int = 0
    after: bool = False
    cancel: bool = True


@typing.overload
def tool(function: Function, /) -> Function: ...


@typing.overload
def tool(
    *,
    name: str | None = None,
    waiting: Sequence[str] = (),
    timeout: float | None = None,
    thread: bool = False,
    interruptable: bool | None = None,
    reuse_s: float = 0,
    hold_ms: int = 0,
    after: bool = False,
    cancel: bool = True,
) -> Callable[[Function], Function]: ...


def tool(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as a tool; it stays callable as it is."""
    chosen = Options(**options)

    def mark(marked: Function) -> Function:
        setattr(marked, MARK, chosen)
        return marked

    return mark if function is None else mark(function)
