"""HTML pages from Jinja2 templates: each one a single file that needs nothing from elsewhere.

The templates lie in `templates/`: `base.html` is the frame of every page, `style.css` its look and
`parts.html` the macros for tables, figures and folded sections. They are written as XML (every tag
is closed), and whatever stands in double braces is escaped.
"""

import base64
import dataclasses
import functools
from typing import Any

import jinja2

from au_jax.html import numbers


@dataclasses.dataclass(frozen=True)
class Figure:
    """An image that a page holds within itself.

    Attributes:
      image: the contents of a PNG or JPEG file. meaning: what it shows, for those who cannot see
        it. caption: the text below it. media: the type of `image`.
    """

    image: bytes
    meaning: str
    caption: str
    media: str = "image/png"

    @property
    def source(self) -> str:
        """The image as a data URI."""
        return f"data:{self.media};base64,{base64.b64encode(self.image).decode()}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("au_jax.html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=numbers.number, interval=numbers.interval, setting=numbers.setting
    )
    environment.globals["DASH"] = numbers.DASH
    return environment


def render(template: str, **values: Any) -> str:
    """Returns the text of a template of `templates/` with `values` filled in.

    Raises:
      jinja2.UndefinedError: the template uses a value that is not given.
    """
    return _environment().get_template(template).render(values)
