"""Values that an annotation of `au_jax.allowed` must not let pass, made from the annotation."""

import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from au_jax.allowed import Form, OneOf, Range, Text, Unique, parts

_OF_OTHER_TYPES = {
    bool: (1, "true", None, (True,)),
    int: (True, 1.5, "1", None, (1,), math.nan),
    float: (True, "1.0", None, (1.0,), math.nan, math.inf, -math.inf, 10**400),
    str: (1, True, None, ("a",), b"a"),
}


def bad_values(hint: Any) -> Iterator[Any]:
    """Just outside each bound, of another type, NaN, infinite, unknown words, too long texts."""
    base, rules = parts(hint)
    origin, inner = typing.get_origin(base), typing.get_args(base)
    if origin in (typing.Union, types.UnionType):
        first = next(one for one in inner if one is not type(None))
        optional = type(None) in inner
        several = len(inner) - optional > 1  # a number, or a list
        for value in bad_values(first):
            if not ((optional and value is None) or (several and isinstance(value, tuple))):
                yield value
        return
    if isinstance(origin, type) and issubclass(origin, Mapping):
        yield from (1, "a", ("a",))
        yield from ({"AU01": value} for value in bad_values(inner[1]))
        return
    if isinstance(origin, type) and issubclass(origin, Sequence):
        yield from (1, "abc", None, {"a": 1})
        length = 1 if inner[-1] is Ellipsis or len(inner) == 1 else len(inner)
        for value in bad_values(inner[0]):
            yield (value,) * length
        if length > 1:
            yield ()
        for rule in rules:
            if isinstance(rule, Unique) and rule.least:
                yield ()
        return
    yield from _OF_OTHER_TYPES[base]
    for rule in rules:
        yield from _outside(rule, base)


def _outside(rule: Any, base: type) -> Iterator[Any]:
    if isinstance(rule, Range):
        step = (lambda bound, to: bound + (1 if to > 0 else -1)) if base is int else math.nextafter
        yield from (rule.gt, rule.lt) if None not in (rule.gt, rule.lt) else ()
        if rule.ge is not None:
            yield base(step(rule.ge, -math.inf))
        if rule.gt is not None:
            yield base(rule.gt)
        if rule.le is not None:
            yield base(step(rule.le, math.inf))
        if rule.lt is not None:
            yield base(rule.lt)
        yield -base(10**12)
        yield base(10**12)
    elif isinstance(rule, OneOf):
        yield from ("nope", "no_such_module:function" if rule.outside else "a:b", "a\nb")
    elif isinstance(rule, Text):
        yield from ("a" * (rule.most + 1), "a\nb", "\0")
        if rule.least:
            yield ""
    elif isinstance(rule, Form):
        yield from ("a\nb", "\0", "\x1b[2J")


def declared(hint: Any) -> bool:
    """Whether an annotation says of every number and word in it what it may be."""
    base, rules = parts(hint)
    inner = [one for one in typing.get_args(base) if one is not Ellipsis]
    if inner:
        return all(map(declared, inner))
    return base in (bool, type(None)) or (bool(rules) and base in (int, float, str))
