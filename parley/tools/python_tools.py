"""Tools that are Python functions of the operator's: schemas from hints, calls. The decorator is in `decorator.py`.

A file of `TOOLS_DIR` is run once. Of what it defines only decorated functions are tools; what can't be a tool is a
fault with its file and line.

    from parley.tools import Call, ToolError, tool

    @tool(waiting=["Checking the calendar."], timeout=5)
    def free_slots(day: str, guests: int = 2, *, call: Call) -> list[str]:
        '''Free tables of a day.

        day: ISO date such as 2026-12-01
        guests: how many people
        '''
"""

import contextlib
import copy
import functools
import importlib.util
import inspect
import re
import sys
import time
import traceback
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gevent
import msgspec
from gevent.threadpool import ThreadPool

from parley.concurrency import run_in_thread, thread_pool
from parley.telemetry.logs import log
from parley.tools.decorator import MARK, Options, ToolError
from parley.tools.definitions import NAME
from parley.tools.tool import FAILED, INVALID_ARGUMENTS, Arguments, Call, Result, Tool

THREADS = 16
"""Threads for tools with `thread=True`, at most."""
CLOSE_SECONDS = 0.05
"""Seconds before the end of a call's time from which on a timeout counts as its end."""
_PARAMETER_LINE = re.compile(r"\s*(\w+)\s*:\s+(\S.*)")


class BadTool(Exception):
    """A function can't be a tool; the message says why."""


def load(path: Path, content: bytes | None = None) -> tuple[list[Tool], list[str]]:
    """Run a file and return its tools in their order, and its faults as `file:line: message`.

    The file is read unless its `content` is given.
    """
    try:
        module = run_file(path, content)
    # The boundary: whatever the operator's code may raise or do, an exit included.
    except (Exception, SystemExit) as exc:  # noqa: BLE001
        return [], [f"{path.name}:{line_of(exc, path)}: {type(exc).__name__}: {exc}"]
    tools, faults = [], []
    for function in marked_functions(module):
        try:
            tools.append(tool_of(function))
        except BadTool as exc:
            faults.append(f"{path.name}:{function.__code__.co_firstlineno}: {function.__name__}: {exc}")
    return tools, faults


def run_file(path: Path, content: bytes | None) -> ModuleType:
    """Return the module of a file, or of other `content` in its place; it may import its neighbours.

    Raises what the file raises.
    """
    # Behind everything else: a neighbour must not take the place of a library's module.
    if str(path.parent.resolve()) not in sys.path:
        sys.path.append(str(path.parent.resolve()))
    name = f"parley_tools_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader, "the file's suffix is .py"
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and hints look their module up there.
    sys.modules[name] = module
    try:
        if content is None:
            spec.loader.exec_module(module)
        else:
            exec(compile(content, path, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def line_of(error: BaseException, path: Path) -> int:
    """Return the line of a file at which an error of its code was raised."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if Path(frame.filename) == path), 1)


def marked_functions(module: ModuleType) -> Iterator[Any]:
    """Yield the tools that a module itself defines, in the order of their names' first appearance."""
    seen: set[int] = set()
    for value in vars(module).values():
        if hasattr(value, MARK) and id(value) not in seen and getattr(value, "__module__", "") == module.__name__:
            seen.add(id(value))
            yield inspect.unwrap(value) if not hasattr(value, "__code__") else value


def tool_of(function: Any) -> Tool:
    """Return the tool that a decorated function is. Raises BadTool."""
    options: Options = getattr(function, MARK)
    name = options.name or function.__name__
    if not re.fullmatch(NAME, name):
        raise BadTool(f'"{name}" is no name of a tool: a letter, then letters, digits, _ and -, 64 at most')
    check_options(options)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise BadTool("is async; write a plain function, which may wait as it likes")
    if inspect.isgeneratorfunction(function):
        raise BadTool("is a generator; return one value")
    description, texts = described(function)
    arguments, takes_call = arguments_of(function, name)
    schema = schema_of(arguments, texts, inspect.signature(function))
    return Tool(
        name,
        description,
        schema,
        "python",
        functools.partial(run, function, arguments, takes_call, options.thread),
        timeout=options.timeout,
        waiting=tuple(options.waiting),
        interruptable=options.interruptable,
        reuse_seconds=options.reuse_s,
        hold_ms=options.hold_ms,
        after=options.after,
        cancels=options.cancel,
    )


def check_options(options: Options) -> None:
    """Raise BadTool for options that can't be used."""
    if isinstance(options.waiting, str) or not all(isinstance(text, str) and text.strip() for text in options.waiting):
        raise BadTool("waiting must be a list of phrases")
    limits = {"timeout": (1, 100), "reuse_s": (0, 3600), "hold_ms": (0, 2000)}
    for name, (least, most) in limits.items():
        value = getattr(options, name)
        if value is not None and not (isinstance(value, int | float) and least <= value <= most):
            raise BadTool(f"{name} must be a number from {least} to {most}")


def described(function: Any) -> tuple[str, dict[str, str]]:
    """Return the first paragraph of a docstring, and the texts of its lines `name: text`. Raises BadTool."""
    paragraphs = (inspect.getdoc(function) or "").strip().split("\n\n")
    description = " ".join(paragraphs[0].split())
    if not description:
        raise BadTool("has no docstring; the model chooses a tool by it")
    names = function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]
    found = [_PARAMETER_LINE.fullmatch(line) for part in paragraphs[1:] for line in part.splitlines()]
    return description, {line[1]: line[2].strip() for line in found if line and line[1] in names}


def arguments_of(function: Any, name: str) -> tuple[type[msgspec.Struct], bool]:
    """Return the type of a function's arguments, and whether it takes the call. Raises BadTool."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    # The boundary: a hint in quotes is code that may raise anything.
    except Exception as exc:
        raise BadTool(f"its hints can't be read: {exc}") from exc
    fields: list[Any] = []
    takes_call = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise BadTool(f"takes {parameter}; a model must be told each parameter")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise BadTool(f"{parameter.name} is positional only; arguments are given by name")
        if parameter.name == "call":
            if parameter.kind is not parameter.KEYWORD_ONLY:
                raise BadTool("call must be keyword-only: put `*, ` in front of it")
            takes_call = True
        elif parameter.name not in hints:
            raise BadTool(f"{parameter.name} has no hint")
        else:
            fields.append(field_of(parameter, hints[parameter.name]))
    return msgspec.defstruct(f"{name}_arguments", fields, kw_only=True), takes_call


def field_of(parameter: inspect.Parameter, hint: Any) -> tuple[Any, ...]:
    """Return a parameter as a field of a struct. Raises BadTool."""
    if parameter.default is parameter.empty:
        return (parameter.name, hint)
    try:
        msgspec.convert(msgspec.to_builtins(parameter.default), hint)
    # Of ValidationError, and of what a hint that msgspec can't use makes it raise.
    except (msgspec.ValidationError, TypeError) as exc:
        raise BadTool(f"the default of {parameter.name} does not fit its hint: {exc}") from exc
    return (parameter.name, hint, msgspec.field(default_factory=functools.partial(copy.deepcopy, parameter.default)))


def schema_of(arguments: type[msgspec.Struct], texts: dict[str, str], signature: inspect.Signature) -> dict[str, Any]:
    """Return the JSON schema of arguments, with the texts and defaults of their parameters. Raises BadTool."""
    try:
        _, components = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    except TypeError as exc:
        raise BadTool(f"has a hint that can't be used: {exc}") from exc
    schema: dict[str, Any] = components.pop(arguments.__name__)
    schema.pop("title", None)
    # Some providers take an enum only with its type.
    for part in (*schema["properties"].values(), *components.values()):
        if all(isinstance(choice, str) for choice in part.get("enum", [0])):
            part.setdefault("type", "string")
    for name, parameter in schema["properties"].items():
        default = signature.parameters[name].default
        if default is not inspect.Parameter.empty:
            parameter["default"] = msgspec.to_builtins(default)
        if name in texts:
            parameter["description"] = texts[name]
    return {**schema, **({"$defs": components} if components else {})}


@functools.cache
def threads() -> ThreadPool:
    """Return the threads of the tools that block."""
    return thread_pool(THREADS)


def run(
    function: Any, wanted: type[msgspec.Struct], takes_call: bool, in_thread: bool, arguments: Arguments, call: Call
) -> Result:
    """Call a function with the arguments in the types of its hints; return what the model is told."""
    try:
        values = msgspec.convert(arguments, wanted, strict=False)
    except msgspec.ValidationError as exc:
        return Result.failed(f"{INVALID_ARGUMENTS}{exc}")
    given = {name: getattr(values, name) for name in wanted.__struct_fields__}
    work = functools.partial(function, **given, **({"call": call} if takes_call else {}))
    limit, due = gevent.Timeout(call.seconds), time.monotonic() + call.seconds - CLOSE_SECONDS
    try:
        # A function in this greenlet ends here, through its `finally`; a thread can't be ended and runs on.
        with limit:
            returned = run_in_thread(threads(), outcome, work) if in_thread else outcome(work)
    except gevent.Timeout as passed:
        # That of whoever runs the tool began a moment before this one.
        if passed is limit or time.monotonic() >= due:
            return Result.timed_out(call.seconds)
        # One of the function's own.
        return failed(function, passed)
    if isinstance(returned, ToolError) and str(returned):
        return Result.failed(str(returned))
    return settled(function, returned)


def outcome(work: Callable[[], Any]) -> Any:
    """Return what a function returns, or the error that it raised; the end of its greenlet passes through."""
    # SystemExit would end the worker, and KeyboardInterrupt what waits for it.
    try:
        return work()
    except (Exception, SystemExit, KeyboardInterrupt) as exc:  # noqa: BLE001 - the operator's code may raise anything
        return exc


def settled(function: Any, returned: Any) -> Result:
    """Return the result of what a function returned or raised."""
    if isinstance(returned, BaseException):
        return failed(function, returned)
    if returned is None or isinstance(returned, str):
        return Result.of(returned or "")
    try:
        return Result.of(msgspec.json.encode(returned).decode())
    # Of a type that JSON has no form for, or with half of a surrogate pair in it.
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as exc:
        return failed(function, exc)


def failed(function: Any, error: BaseException) -> Result:
    """Log where a function failed, and return the result of that.

    Neither the error's own words nor its causes are logged: they may quote arguments.
    """
    with contextlib.suppress(Exception):
        frames = traceback.extract_tb(error.__traceback__)
        place = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        log.error("tool_failed", tool=function.__name__, error=type(error).__name__, traceback=" > ".join(place[-10:]))
    return Result.failed(FAILED)
