"""Templates: values are escaped, missing ones are an error, and an installed package has them."""

import tomllib
from pathlib import Path

import jinja2
import pytest

from au_jax import html
from au_jax.html.numbers import DASH, interval, number, setting

ROOT = Path(__file__).parents[2]


def test_values_are_escaped():
    page = html.render("base.html", title='<script> & "')
    assert "<title>&lt;script&gt; &amp; &#34;</title>" in page
    assert page.startswith("<!DOCTYPE html>\n")


def test_a_missing_value_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="title"):
        html.render("base.html")


def test_a_figure_is_a_data_uri():
    assert html.Figure(b"abc", "", "", "image/jpeg").source == "data:image/jpeg;base64,YWJj"


def test_numbers_and_settings():
    assert [number(None), number(0.12345)] == [DASH, "0.1235"]
    assert [interval(None), interval((0.1, 0.25))] == [DASH, "0.1000 to 0.2500"]
    settings = [setting(value) for value in ([], [1, 2], None, "", 0)]
    assert settings == ["none", "1, 2", DASH, DASH, "0"]


def test_every_template_is_package_data():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    package = ROOT / "au_jax" / "html"
    patterns = project["tool"]["setuptools"]["package-data"]["au_jax.html"]
    packed = {path for pattern in patterns for path in package.glob(pattern) if path.is_file()}
    assert packed == {path for path in (package / "templates").rglob("*") if path.is_file()}
