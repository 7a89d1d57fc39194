"""Ranges and sets of words that a config's field allows, as annotations beside its default.

    dropout: Annotated[float, Range(ge=0, lt=1)] = 0.5
    schedule: Annotated[str, OneOf(("steps", "cosine", "constant"))] = "steps"
    boundaries: Annotated[tuple[Share, ...], Unique()] = (0.5, 0.75)

A config's fields are checked against such hints before anything runs. A hint without a rule allows
every value of its type that is finite and can be written as JSON.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any

from au_jax import aus as au_names
from au_jax import outside
from au_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Range:
    """A number within bounds: at least `ge` or above `gt`, at most `le` or below `lt`."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def allows(self, value: float) -> bool:
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def __str__(self) -> str:
        lower = f"from {self.ge:.15g}" if self.ge is not None else f"above {self.gt:.15g}"
        if self.ge is not None:
            return f"{lower} to {f'{self.le:.15g}' if self.lt is None else f'below {self.lt:.15g}'}"
        upper = f"up to {self.le:.15g}" if self.lt is None else f"below {self.lt:.15g}"
        return f"{lower} and {upper}"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """A word of a set.

    Attributes:
      words: the set; of a mapping its keys, as they are when a value is checked.
      outside: what a function outside the package, `module:function`, may be named for, as
        "backbone"; "" where none may.
      called: what a word is, where the set is too long for a sentence.
    """

    words: Collection[str] = dataclasses.field(hash=False)
    outside: str = ""
    called: str = ""

    def allows(self, value: str) -> bool:
        """Raises UserError when a function outside the package cannot be found."""
        if self.outside and ":" in value:
            outside.resolve(self.outside, value)
            return True
        return value in self.words

    def __str__(self) -> str:
        if self.called:
            return self.called
        others = " or module:function" if self.outside else ""
        return f"one of {', '.join(word or '(nothing)' for word in self.words)}{others}"


@dataclasses.dataclass(frozen=True)
class Text:
    """A text on one line, of so many characters."""

    least: int = 0
    most: int = 300

    def allows(self, value: str) -> bool:
        return self.least <= len(value) <= self.most and value.isprintable()

    def __str__(self) -> str:
        return f"of {self.least} to {self.most} printable characters"


@dataclasses.dataclass(frozen=True)
class Form:
    """A text in a small language of its own.

    Attributes:
      parse: reads it, or raises UserError.
      form: how it is written.
    """

    parse: Callable[[str], Any]
    form: str

    def allows(self, value: str) -> bool:
        if not value.isprintable():
            return False
        try:
            self.parse(value)
        except UserError:
            return False
        return True

    def __str__(self) -> str:
        return f"written as {self.form}"


@dataclasses.dataclass(frozen=True)
class Odd:
    """An odd number."""

    def allows(self, value: int) -> bool:
        return value % 2 == 1

    def __str__(self) -> str:
        return "that is odd"


@dataclasses.dataclass(frozen=True)
class Unique:
    """A list in which nothing stands twice, of `least` entries or more."""

    least: int = 0

    def allows(self, value: Sequence) -> bool:
        return len(value) >= self.least and len(set(value)) == len(value)

    def __str__(self) -> str:
        few = f", {self.least} at least" if self.least else ""
        return f"none of them twice{few}"


Rule = Range | OneOf | Text | Form | Odd | Unique

# What several owners use.
Share = Annotated[float, Range(ge=0, le=1)]  # a probability, too
Positive = Annotated[float, Range(gt=0, le=1)]
Weight = Annotated[float, Range(ge=0, le=1e6)]  # of a term of a loss
Decay = Annotated[float, Range(ge=0, lt=1)]  # of a moving average
Count = Annotated[int, Range(ge=1, le=10**9)]
CountOrNone = Annotated[int, Range(ge=0, le=10**9)]  # where 0 says that there is none, or all
Seed = Annotated[int, Range(ge=0, le=10**9)]
Line = Annotated[str, Text()]
Name = Annotated[str, Text(least=1, most=100)]
AU = Annotated[str, OneOf(au_names.MEANING, called="the code of an AU, such as AU12")]
AUs = Annotated[tuple[AU, ...], Unique()]
Group = Annotated[str, OneOf(("expression", "pose", "all"))]


def hints_of(owner: Any) -> Mapping[str, Any]:
    """The annotations of a class's fields or of a function's parameters, by name.

    What cannot be told, as of a function outside the package without annotations, may be anything.
    """
    return _hints_of(owner)


@functools.cache
def _hints_of(owner: Any) -> Mapping[str, Any]:
    try:
        hints = typing.get_type_hints(owner, include_extras=True)
    except (
        NameError,
        TypeError,
    ):  # an annotation, maybe a base class's, that only its author reads
        owners = reversed(owner.__mro__) if isinstance(owner, type) else (owner,)
        found = [vars(one).get("__annotations__", {}) for one in owners]
        hints = {name: hint for of_one in found for name, hint in of_one.items()}
    return types.MappingProxyType({k: Any if isinstance(v, str) else v for k, v in hints.items()})


def allows(value: Any, hint: Any) -> bool:
    """Whether a value is as its annotation says.

    Raises:
      UserError: it names a function outside the package that cannot be found.
    """
    base, rules = parts(hint)
    return _of_type(value, base) and all(rule.allows(value) for rule in rules)


def parts(hint: Any) -> tuple[Any, tuple[Rule, ...]]:
    """The type of an annotation, and its rules."""
    if typing.get_origin(hint) is Annotated:
        base, *rules = typing.get_args(hint)
        return base, tuple(rule for rule in rules if isinstance(rule, Rule))
    return hint, ()


def _of_type(value: Any, base: Any) -> bool:
    origin, inner = typing.get_origin(base), typing.get_args(base)
    if origin in (typing.Union, types.UnionType):
        return any(allows(value, one) for one in inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            allows(key, inner[0]) and allows(entry, inner[1]) for key, entry in value.items()
        )
    if origin is tuple and inner[-1:] != (Ellipsis,):
        return (
            isinstance(value, tuple | list)
            and len(value) == len(inner)
            and all(map(allows, value, inner))
        )
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return isinstance(value, tuple | list) and all(allows(entry, inner[0]) for entry in value)
    if base is float:
        return type(value) in (int, float) and _finite(value)
    if base in (bool, int, str):
        return type(value) is base
    if base is type(None):
        return value is None
    return _plain(value)


def _finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond what a float holds
        return False


def _plain(value: Any) -> bool:
    """Whether JSON holds the value as it is."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(entry) for key, entry in value.items())
    if isinstance(value, tuple | list):
        return all(map(_plain, value))
    if type(value) in (int, float):
        return _finite(value)
    return value is None or type(value) in (bool, str)


def fault(value: Any, hint: Any, name: str = "") -> str | None:
    """What is wrong with a value that a file holds, as a clause; None where nothing is.

    Args:
      hint: an annotation, also a TypedDict, which may have further fields, or a dataclass.
      name: what the value is called; it has no name where it is the whole file.
    """
    base, _ = parts(hint)
    origin, inner = typing.get_origin(base), typing.get_args(base)
    entries: Mapping[str, tuple[Any, Any]] = {}
    if typing.is_typeddict(base):
        if not isinstance(value, Mapping):
            return _instead(value, "an object of fields", name)
        for field in sorted(base.__required_keys__ - value.keys()):
            return f"it lacks the field '{_inner(name, field)}'"
        entries = {
            field: (value[field], h) for field, h in hints_of(base).items() if field in value
        }
    elif dataclasses.is_dataclass(base) and type(value) is base:
        entries = {f: (getattr(value, f), h) for f, h in hints_of(base).items()}
    elif isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        for key in value:
            if not allows(key, inner[0]):
                return f"its field '{_inner(name, key)}' is not {describe(inner[0])}"
        entries = {key: (entry, inner[1]) for key, entry in value.items()}
    elif origin in (typing.Union, types.UnionType):
        if value is None and types.NoneType in inner:
            return None
        first = next(one for one in inner if one is not types.NoneType)
        if typing.is_typeddict(first):
            return fault(value, first, name)
        return None if allows(value, hint) else _instead(value, describe(hint), name)
    else:
        return None if allows(value, hint) else _instead(value, describe(hint), name)
    faults = (
        fault(entry, inner_hint, _inner(name, f)) for f, (entry, inner_hint) in entries.items()
    )
    return next((found for found in faults if found), None)


def _inner(name: str, field: str) -> str:
    return f"{name}.{field}" if name else field


def _instead(value: Any, words: str, name: str) -> str:
    what = f"its field '{name}'" if name else "it"
    return f"{what} is {shown(value)}, not {words}"


def describe(hint: Any) -> str:
    """What an annotation allows, in words: "a number from 0 to 1"."""
    base, rules = parts(hint)
    if base is str and any(isinstance(rule, OneOf) for rule in rules):
        return ", ".join(map(str, rules))
    return " ".join((_kind(base), *map(str, rules))).replace(" none", ", none")


def _kind(base: Any) -> str:
    origin, inner = typing.get_origin(base), typing.get_args(base)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(one) for one in inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping from {describe(inner[0])} to {describe(inner[1])}"
    if origin is tuple and inner[-1:] != (Ellipsis,):
        return f"{len(inner)} values, each {describe(inner[0])}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a tuple of values, each {describe(inner[0])}"
    kinds = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    return kinds.get(base, "nothing" if base is type(None) else "a plain, finite value")


def shown(value: Any) -> str:
    """A value as an error shows it, not too long."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
