"""Random fields on the command line, and config files that were damaged: accepted, or a sentence.

The examples are the same at every run. `AU_JAX_FUZZ=100 pytest tests/fuzz` tries 100 times as many,
other ones at every run.
"""

import functools
import json
import os
from pathlib import Path

import pytest
from command_line import config_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invariant import Refused, outcome
from shipped_configs import get_config, leaves

from au_jax.allowed import Range, parts
from au_jax.experiment import config_file, workdir
from au_jax.experiment.check import check
from au_jax.experiment.fields import tree_of
from au_jax.experiment.recipe import Recipe
from au_jax.run_dir import RunFolder

TIMES = int(os.environ.get("AU_JAX_FUZZ", "1"))
CONFIGS = ("noisy_student", "tal:ablation", "recot", "emoco", "abaw3:balance")
NOWHERE = Path("nowhere")
fuzz = functools.partial(
    settings,
    deadline=None,
    derandomize=TIMES == 1,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# What people type, and what programs do.
ODD = (
    *("", " ", "0", "-0", "1", "-1", "2", "0.5", "-0.5", "1.5", "1e-320", "1e308", "1e400", "1e3"),
    *("nan", "-nan", "inf", "-inf", "None", "null", "True", "false", "abc", "ü", "'", '"', "\\"),
    *("()", "(", "[1", "(1,)", "(0.5,0.5)", "0.5,0.25", "('a',)", "{}", "{'a': 1}", "a,b,,", ","),
    *("99999999999999999999", "0x10", "1_000", "../..", "/etc/passwd", "a:b", ":", "#", "opt#0"),
    *("opt%0", "opt%101", "opt-train#9999999999", "x" * 400, "a\nb", "$(ls)", "__import__('os')"),
)


@functools.cache
def fields_of(reference: str) -> list:
    """(path, annotation) of every field of a shipped config."""
    name, _, variant = reference.partition(":")
    return list(leaves(tree_of(get_config(name, variant or "default").to_dict())))


def texts(hint) -> st.SearchStrategy[str]:
    """Values for a field as they are typed: odd ones, numbers near its bounds, its words."""
    near = [st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), max_size=8)]
    near[1] = near[1].filter(lambda text: "\0" not in text)
    for rule in parts(hint)[1]:
        if isinstance(rule, Range):
            bounds = [b for b in (rule.ge, rule.gt, rule.le, rule.lt) if b is not None]
            numbers = [n for bound in bounds for n in (bound, bound - 1, bound + 1, bound * 1.001)]
            near.append(st.sampled_from([str(number) for number in numbers]))
        if hasattr(rule, "words"):
            near.append(st.sampled_from(list(rule.words)))
    return st.one_of(near)


@st.composite
def command_lines(draw) -> tuple[str, list[tuple[str, str]]]:
    """A config, and fields with what is typed for each."""
    reference = draw(st.sampled_from(CONFIGS))
    fields = draw(st.lists(st.sampled_from(fields_of(reference)), min_size=1, max_size=3))
    return reference, [(".".join(path), draw(texts(hint))) for path, hint in fields]


@fuzz(max_examples=250 * TIMES)
@given(command_lines())
def test_fields_on_the_command_line(line):
    reference, fields = line
    name, _, variant = reference.partition(":")
    file = f"configs/{name}.py" + (f":{variant}" if variant else "")
    culprits = {part for path, _ in fields for part in (f"config.{path}", path.split(".")[-1])}
    # A sentence on what a stage reads, or on its network, names the stage.
    culprits |= {f"config.stages.{path.split('.')[1]}" for path, _ in fields if "stages." in path}

    def accept():
        typed = (f"--config.{path}={text}" for path, text in fields)
        config = config_of(f"--config={file}", *typed)
        Recipe(config, RunFolder(NOWHERE), NOWHERE).check_networks()
        return config

    config = outcome(accept, culprits)
    if not isinstance(config, Refused):
        # What is accepted can be kept: it is JSON without NaN and infinity.
        json.dumps(workdir.fields_of(config), allow_nan=False)


JUNK = (b"<<<<<<< HEAD\n", b"\0", b"\xff\xfe", b"(", b"'''", b"1 / 0\n")
REPLACED = (
    *(b"config confg", b"= ==", b"train trian", b"16 -16", b"0. 10.", b"base.base() {}"),
    *(b"return raise", b"add_stage add", b"\" '", b"opt pot"),
)


@st.composite
def damaged_files(draw) -> bytes:
    """The text of a shipped config, damaged as editors, disks and merges do."""
    source = Path("configs/noisy_student.py").read_bytes()
    lines = source.splitlines(keepends=True)
    start = draw(st.integers(0, len(lines) - 1))
    end = draw(st.integers(start, min(len(lines), start + 12)))
    kind = draw(st.sampled_from(("cut", "without", "twice", "bytes", "replaced", "indented")))
    junk = draw(st.sampled_from(JUNK))
    if kind == "cut":
        return b"".join(lines[:start])
    if kind == "without":
        return b"".join(lines[:start] + lines[end:])
    if kind == "twice":
        return b"".join(lines[:end] + lines[start:])
    if kind == "bytes":
        return b"".join([*lines[:start], junk, *lines[start:]])
    if kind == "indented":
        return b"".join([*lines[:start], b" " + lines[start], *lines[start + 1 :]])
    old, new = draw(st.sampled_from(REPLACED)).split()
    return source.replace(old, new, draw(st.integers(1, 40)))


@fuzz(max_examples=120 * TIMES)
@given(damaged_files())
def test_damaged_config_files(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "damaged.py"
    file.write_bytes(content)

    def accept():
        config = config_file.load(str(file))
        check(config)
        return config

    outcome(accept, (str(file), "config"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("x = (\n", "FILE, line 1: SyntaxError: '(' was never closed; mend the config"),
        ("import nothing_here\n", "FILE, line 1: ModuleNotFoundError: No module named 'nothing_he"),
        ("def get_config():\n    return 1 / 0\n", "FILE, line 2: ZeroDivisionError: division by z"),
        ("x = 1\n", "FILE has no function get_config(variant), which returns the config; it is no"),
        ("get_config = 5\n", "FILE has no function get_config(variant)"),
        ("def get_config():\n    return {}\n", "get_config of FILE returns a dict, and no config;"),
        (
            "def get_config():\n    pass\n",
            "get_config of FILE returns nothing, and no config;",
        ),
        ("raise SystemExit(3)\n", "FILE, line 1: SystemExit: 3; mend the config"),
        (b"\x89PNG\r\n\x1a\n\0\0", "FILE"),
    ],
)
def test_broken_config_files(tmp_path, content, sentence):
    file = tmp_path / "broken.py"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused = outcome(lambda: config_of(f"--config={file}"), [str(file)])
    assert refused.sentence.startswith(sentence.replace("FILE", str(file)))


def test_a_variant_for_a_config_without_variants(tmp_path):
    file = tmp_path / "plain.py"
    file.write_text("def get_config():\n    return None\n")
    refused = outcome(lambda: config_of(f"--config={file}:small"), [str(file)])
    assert "takes 0 positional arguments" in refused.sentence
