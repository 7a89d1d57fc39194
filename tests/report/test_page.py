"""The report's page: its figures are those of results.json, and it stands alone in any browser."""

import base64
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score, f1_score
from tiny import make_context

from au_jax.files import atomic_files
from au_jax.html.numbers import DASH
from au_jax.report import charts, from_run
from au_jax.report import page as html_page
from au_jax.report.curves import curves
from au_jax.report.label_errors import label_errors
from au_jax.report.page import Page
from au_jax.report.results import _print_table, collect
from au_jax.report.video_scores import video_scores
from au_jax.run_dir import Features, RunFolder, Scores, StageFolder
from au_jax.stages.select import Rules, select
from au_jax.training.model_card import ModelCard

EXPRESSION, POSE = ("AU01", "AU02", "AU43"), ("AU51", "AU52")
LABEL = 'A <script>alert("1")</script> & $x$ label'
TOP = {
    "name": "tiny",
    "variant": "default",
    "seed": 3,
    "data.name": "synthetic_faces",
    "seeds": 1,
    "folds": 0,
    "headline": "final_score",
    "checkpoint.keep": 1,
    "model.backbone": "ownnet1",
    "note": "<b>bold</b> & more",
}


class Run:
    """A finished run, made of random scores instead of trained networks."""

    def __init__(self, path: Path):
        self.folder = RunFolder(path)
        self.config: dict[str, Any] = {**TOP, "order": []}
        self.data: dict[str, Any] = {"name": "synthetic_faces", "drawn": True}
        self.random = np.random.default_rng(0)
        self.labels: dict[str, np.ndarray] = {}

    def _stage(self, name: str, **fields: Any):
        self.config["order"].append(name)
        self.config |= {f"stages.{name}.{field}": value for field, value in fields.items()}
        return self.folder.stage(name)

    def train(
        self,
        name: str,
        group: str,
        aus: Sequence[str],
        splits: Sequence[str] = ("opt-val", "test"),
        epochs: int = 4,
        rows: int = 30,
        absent: Sequence[str] = (),
    ) -> None:
        """Scores that grow better, AU by AU at another epoch; `absent` AUs have no positives."""
        fields = {"group": group, "crop": "closeup", "validate": ["opt-val"]}
        stage = self._stage(name, kind="train", **{"model.backbone": None}, **fields)
        context = make_context(aus, streams=("opt",), epochs=epochs)
        ModelCard("multi_task", {}, context, "closeup", 40, "synthetic_faces").write(stage)
        for split in splits:
            if (split, group) not in self.labels:
                labels = self.random.choice([0, 1, -1], (rows, len(aus)), p=[0.5, 0.4, 0.1])
                labels[:, [au in absent for au in aus]] = 0
                self.labels[split, group] = labels.astype(np.int8)
            labels = self.labels[split, group]
            names = np.array([f"{split}{row}" for row in range(rows)])
            for epoch in range(1, epochs + 1):
                (stage.model / str(epoch)).mkdir(parents=True, exist_ok=True)
                noise = self.random.normal(size=labels.shape) * self.random.uniform(0.2, 4)
                logits = (labels - 0.5 + noise).astype(np.float32)
                empty = np.full(rows, "")
                frame = np.zeros(rows, np.int32)
                scores = Scores(logits, labels, np.array(aus), names, names, empty, frame)
                stage.write_scores(split, epoch, scores)
        atomic_files.write_json(stage.label_counts, {})
        with open(stage.metrics, "w") as file:
            for epoch in range(1, epochs + 1):
                line = {"epoch": epoch, "step": 5 * epoch, "loss": 1 / epoch, "learning_rate": 0.1}
                line |= {"images_per_second": 100.0, "opt-val/final_score": 0.5}
                file.write(json.dumps(line) + "\n")
        stage.mark_done()

    def pseudo_label(self, name: str, aus: Sequence[str], labels: Sequence[Sequence[int]]) -> None:
        stage = self._stage(name, kind="pseudo_label", teacher="teacher", split="noisy")
        atomic_files.write_arrays(
            stage.labels("noisy"),
            {
                "keys": np.array([f"n{i}" for i in range(len(labels))]),
                "aus": np.array(aus),
                "labels": np.array(labels, np.int8),
                "probabilities": np.array(labels, np.float32),
            },
        )
        stage.mark_done()

    def select(
        self,
        name: str,
        inputs: Sequence[str],
        label: str = "",
        depth: int = 0,
        paper: float = 0.0,
        test: Sequence[str] = ("test",),
        rules: Rules = Rules("last", "mean", "default"),  # noqa: B008
        curve: str = "",
        line: str = "",
        at: float = 0.0,
        windows: Sequence[int] = (1,),
    ) -> None:
        row = {"label": label or name, "depth": depth, "paper": paper}
        row |= {"curve": curve, "line": line, "at": at}
        stage = self._stage(
            name, kind="select", inputs=list(inputs), split="opt-val", test=list(test), **row
        )
        select(
            stage,
            inputs=[(self.folder, self.folder.stage(n), "center") for n in inputs],
            split="opt-val",
            test=test,
            rules=rules,
            source=None,  # type: ignore[arg-type]
            mesh=None,  # type: ignore[arg-type]
            threads=1,
            windows=windows,
        ).write(stage)
        stage.mark_done()

    def pretrain(self, name: str, lines: Sequence[dict[str, float]]) -> None:
        """A network without AUs, scored on nothing, that logged `lines`."""
        stage = self._stage(name, kind="train", group="all", crop="closeup", validate=[])
        self.config |= {f"stages.{name}.model.backbone": None}
        self.config |= {f"stages.{name}.streams.opt.{f}": v for f, v in (("labels", ""),)}
        self.config[f"stages.{name}.streams.opt.split"] = "opt"
        context = make_context((), streams=("opt",), epochs=len(lines))
        ModelCard("contrastive", {}, context, "closeup", 40, "synthetic_faces").write(stage)
        (stage.model / str(len(lines))).mkdir(parents=True)
        atomic_files.write_json(stage.label_counts, {"opt": {"rows": 9, "of": {}}})
        stage.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
        stage.mark_done()

    def encode(self, name: str) -> None:
        stage = self._stage(name, kind="encode")
        empty = np.zeros((2, 0), np.int8)
        arrays = Features(
            np.zeros((2, 3), np.float32), empty, np.array([], str), np.array([-1, 0], np.int8),
            np.ones(2, bool), np.array(["a", "b"]), np.array(["", ""]),
        )  # fmt: skip
        stage.write_features("test", arrays)
        stage.mark_done()

    def feature_map(self, name: str, maps: dict[str, dict[str, Any]]) -> None:
        stage = self._stage(
            name, kind="feature_map", inputs=list(maps), split="test", au="AU06", records=20
        )
        for of_stage, arrays in maps.items():
            atomic_files.write_arrays(stage.map(of_stage), arrays)
        stage.mark_done()

    def results(self) -> dict[str, Any]:
        """results.json as a reader of the file gets it."""
        atomic_files.write_json(self.folder.config, self.config)
        atomic_files.write_json(self.folder.data, self.data)
        versions = {"device": "1 fake device", "versions": {"python": "3.11"}}
        atomic_files.write_json(self.folder.environment, versions)
        return json.loads(json.dumps(collect(self.folder)))

    def write(self) -> ElementTree.Element:
        """Writes the page and returns it, parsed as XML."""
        self.folder.report.mkdir(exist_ok=True)
        for name, content in html_page.files(self.folder, self.results()).items():
            (self.folder.report / name).write_bytes(content)
        return parse((self.folder.report / "index.html").read_text(encoding="utf-8"))


def parse(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html.removeprefix("<!DOCTYPE html>\n"))


def text(element: ElementTree.Element) -> str:
    return "".join(element.itertext())


def rows(table: ElementTree.Element) -> list[list[str]]:
    return [[text(cell) for cell in row] for row in table.findall("tbody/tr")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("run"))
    run.train("teacher_expression", "expression", EXPRESSION, absent=("AU43",))
    run.train("teacher_pose", "pose", POSE)
    run.pseudo_label("labels_expression", EXPRESSION, [[1, 0, 0], [1, 1, 0], [1, 0, 0]])
    run.pseudo_label("labels_pose", POSE, [[0, 1], [0, 1], [0, 0]])
    run.pseudo_label("again_pose", POSE, [[0, 1], [0, 1], [1, 0]])
    teachers = ("teacher_expression", "teacher_pose")
    run.select("teachers", teachers, label=LABEL, paper=0.7531)
    run.select("student", teachers, label="student", depth=1)
    run.select("final", teachers, label="best", rules=Rules("best", "mean", "best"))
    return run


@pytest.fixture(scope="module")
def page(run: Run) -> ElementTree.Element:
    return run.write()


def test_table_of_stages_shows_the_figures_of_results_json(run: Run, page: ElementTree.Element):
    results = run.results()

    def interval(ci: list[float]) -> str:
        return f"{ci[0]:.4f} to {ci[1]:.4f}"

    expected = []
    papers = {
        "teachers": (LABEL, "0.7531"),
        "student": ("↳ student", DASH),
        "final": ("best", DASH),
    }
    for name, (label, paper) in papers.items():
        on = results["stages"][name]["split"]
        printed, honest = on["opt-val"]["as_printed"], on["opt-val"]["honest"]
        test = on["test"]["honest"]
        expected.append(
            [
                label,
                paper,
                f"{printed['final_score']:.4f}",
                f"{honest['final_score']:.4f}",
                interval(honest["ci"]),
                f"{test['final_score']:.4f}",
                interval(test["ci"]),
            ]
        )
    [table] = page.findall(".//table[@class='tree']")
    assert rows(table) == expected
    assert expected[2][2] != expected[2][3], "the choice must make a difference to be told apart"
    indents = [row[0].get("style") for row in table.findall("tbody/tr")]
    assert indents[0] == indents[2] != indents[1]
    [headline] = page.findall(".//p[@class='headline']")
    assert headline[0].text == f"{results['final']['final_score']:.4f}" == expected[2][5]
    assert interval(results["final"]["ci"]) in text(headline)


def test_a_run_that_declined_the_papers_weights_says_so(tmp_path):
    run = Run(tmp_path)
    run.train("teacher", "expression", EXPRESSION)
    for weights, said in (("none", True), ("", False), ("resnet34.pth", False)):
        run.config["model.weights"] = weights
        text = " ".join(" ".join(run.write().itertext()).split())
        assert ("Networks start from random weights" in text) == said


def test_a_config_may_compare_f1(tmp_path):
    run = Run(tmp_path / "run")
    run.config["headline"] = "f1"
    run.train("pose", "pose", POSE)
    run.select("row", ("pose",), label="row", paper=0.5)
    page = run.write()
    results = run.results()
    on = results["stages"]["row"]["split"]
    [table] = page.findall(".//table[@class='tree']")
    cells = [f"{on['opt-val']['as_printed']['f1']:.4f}"]
    for honest in (on["opt-val"]["honest"], on["test"]["honest"]):
        low, high = honest["f1_ci"]
        assert low < honest["f1"] < high
        cells += [f"{honest['f1']:.4f}", f"{low:.4f} to {high:.4f}"]
    assert rows(table) == [["row", "0.5000", *cells]]
    assert "Mean F1 step by step" in [text(h) for h in page.iter("h2")]
    [headline] = page.findall(".//p[@class='headline']")
    assert text(headline).split() == [
        f"{results['final']['f1']:.4f}",
        "95",
        "%",
        "interval",
        *cells[-1].split(),
    ]


def test_table_of_every_au_shows_the_figures_of_results_json(run: Run, page: ElementTree.Element):
    results = run.results()
    [details] = [d for d in page.iter("details") if text(d.find("summary")) == "final: best"]
    tables = [rows(table) for table in details.iter("table")]
    splits = results["stages"]["final"]["split"]
    for table, choices in zip(tables, (splits["opt-val"], splits["test"]), strict=True):
        honest = choices["honest"]["au"]
        chosen = (choices["as_printed"] or choices["honest"])["au"]
        assert [row[0][:4] for row in table] == list(honest)
        for name, _, f1, accuracy, auc, ece, threshold, positives, epochs in table:
            figures = honest[name[:4]]
            shown = {"f1": f1, "accuracy": accuracy, "auc": auc, "ece": ece}
            for figure, value in shown.items():
                assert value == (DASH if figures[figure] is None else f"{figures[figure]:.4f}")
            assert threshold == f"{chosen[name[:4]]['threshold']:.4f}"
            assert positives == f"{figures['positives']} of {figures['known']}"
            assert re.fullmatch(r"teacher_\w+ \d", epochs)
    undefined = {row[0][:4]: row[2] for row in tables[1]}
    assert undefined["AU43"] == DASH != undefined["AU01"]


def test_reliability_is_that_of_the_decided_faces(run: Run, page: ElementTree.Element, monkeypatch):
    drawn = {}
    draw = charts.reliability
    monkeypatch.setattr(
        charts, "reliability", lambda aus, splits: drawn.update(splits) or draw(aus, splits)
    )
    section = Page(run.folder, run.results())._reliability()
    assert section is not None
    on = run.results()["stages"]["final"]["split"]
    assert list(drawn) == list(on) == ["opt-val", "test"]
    for split, counts in drawn.items():
        honest = on[split]["honest"]["au"]
        assert counts.count.sum(1).tolist() == [figures["known"] for figures in honest.values()]
        np.testing.assert_allclose(counts.ece, [figures["ece"] for figures in honest.values()])
    caption = section["chart"].caption
    assert caption.startswith("best: ")
    assert "in 15 bins of equal width, of 30 faces of opt-val, 30 faces of test" in caption
    assert "Reliability of the probabilities" in [text(h) for h in page.iter("h2")]


def test_best_epochs_are_an_independent_argmax(run: Run):
    stage = run.folder.stage("teacher_expression")
    judged = from_run.epoch_scores(stage, "opt-val")
    assert judged is not None
    assert judged.epochs == (1, 2, 3, 4)
    for a in range(2):
        scores = []
        for epoch in judged.epochs:
            kept = stage.read_scores("opt-val", epoch)
            labelled = kept.labels[:, a] >= 0
            truth, said = kept.labels[labelled, a], kept.logits[labelled, a] >= 0
            scores.append((accuracy_score(truth, said) + f1_score(truth, said)) / 2)
        np.testing.assert_allclose(judged.scores[:, a], scores, atol=1e-12)
        assert judged.best[a] == int(np.argmax(scores))
    assert np.isnan(judged.scores[:, 2]).all()
    # The mean figure leaves AU43 out of F1, not out of accuracy.
    means = [line["split"]["opt-val"]["honest"] for line in _train_stages(run)]
    assert judged.mean[-1] == pytest.approx(means[0]["final_score"])


def _train_stages(run: Run) -> list[dict[str, Any]]:
    return [s for s in run.results()["stages"].values() if s["outcome"] == "network"]


def test_the_star_stands_at_the_best_epoch():
    axes = Figure().subplots()
    values = np.array([0.2, 0.5, np.nan, 0.5])
    charts._epoch_panel(axes, "AU01", (2, 4, 6, 8), values, 1)
    [star] = [line for line in axes.lines if line.get_marker() == "*"]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (4, 0.5)
    assert "0.500 at 4" in axes.get_title("left")


def test_label_counts(run: Run):
    sets = {counts.title: counts for counts in from_run.label_sets(run.folder, run.results())}
    assert list(sets) == [
        "opt-val",
        "test",
        "noisy, labelled by:\nlabels_expression\n+ labels_pose",
        "noisy, labelled by:\nagain_pose",
    ]
    merged, again = list(sets.values())[2:]
    assert merged.rows == 3
    assert merged.of == {
        **{"AU01": (3, 0, 0), "AU02": (1, 2, 0), "AU43": (0, 3, 0)},
        **{"AU51": (0, 3, 0), "AU52": (2, 1, 0)},
    }
    assert again.of["AU51"] == (1, 2, 0)
    labels = run.labels["test", "pose"]
    assert sets["test"].rows == 30
    assert sets["test"].of["AU52"] == tuple(int((labels[:, 1] == c).sum()) for c in (1, 0, -1))


def test_labels_of_one_split_are_joined_by_key(tmp_path: Path):
    run = Run(tmp_path)
    run.train("first", "pose", POSE, splits=("opt-val",), epochs=1, rows=4)
    run.train("second", "pose", POSE, splits=("opt-val",), epochs=1, rows=4)
    stage = run.folder.stage("second")
    scores = stage.read_scores("opt-val", 1)
    keys = np.array(["opt-val3", "opt-val2", "other1", "other2"])
    labels = np.array([[1, 1]] * 4, np.int8)
    stage.write_scores(
        "opt-val", 1, Scores(scores.logits, labels, scores.aus, keys, keys, keys, scores.frame)
    )
    [counts] = from_run.label_sets(run.folder, run.results())
    first = run.labels["opt-val", "pose"].copy()
    first[2:] = np.where(first[2:] == -1, 1, first[2:])
    assert counts.rows == 6
    for a, au in enumerate(POSE):
        assert counts.of[au][0] == (first[:, a] == 1).sum() + 2


def test_every_image_is_a_file_and_embedded(run: Run, page: ElementTree.Element):
    images = list(page.iter("img"))
    embedded = [base64.b64decode(i.get("src", "").partition("base64,")[2]) for i in images]
    files = {path.name: path.read_bytes() for path in run.folder.report.glob("*.png")}
    assert sorted(files) == sorted(
        ["scores.png", "per_au.png", "labels.png"]
        + ["reliability.png"]
        + [f"curves_teacher_{g}.png" for g in ("expression", "pose")]
        + [f"epochs_teacher_{g}_opt-val.png" for g in ("expression", "pose")]
    )
    assert sorted(embedded) == sorted(files.values())
    assert all(png.startswith(b"\x89PNG\r\n\x1a\n") for png in embedded)
    assert all(image.get("alt") for image in images)


def test_nothing_is_loaded_from_elsewhere(run: Run, page: ElementTree.Element):
    html = (run.folder.report / "index.html").read_text(encoding="utf-8")
    assert "http" not in html
    assert not re.search(r"url\(|@import", html)
    assert not {e.tag for e in page.iter()} & {"script", "link", "iframe", "object"}
    for element in page.iter():
        assert "href" not in element.attrib
        assert element.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")


def test_text_of_the_config_is_escaped(run: Run, page: ElementTree.Element):
    html = (run.folder.report / "index.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<b>bold" not in html
    assert "<b>bold</b> & more" in [text(cell) for cell in page.iter("td")]
    assert any(text(cell) == LABEL for cell in page.iter("th"))


def test_says_what_data_and_what_is_undefined(run: Run, page: ElementTree.Element):
    said = text(page)
    assert "They say nothing about real faces" in said
    assert "1 of them (AU43) has no positive example" in said
    assert "1 fake device" in said
    real = Page(run.folder, {**run.results(), "data": "emotionet", "drawn": False}).text()
    assert "emotionet" in real
    assert "real faces" not in real


def test_a_stage_is_what_it_left(run: Run):
    assert {name: stage["outcome"] for name, stage in run.results()["stages"].items()} == {
        **dict.fromkeys(("teacher_expression", "teacher_pose"), "network"),
        **dict.fromkeys(("labels_expression", "labels_pose", "again_pose"), "labels"),
        **dict.fromkeys(("teachers", "student", "final"), "selection"),
    }


def test_parameters_of_a_network_are_shown_where_its_stage_left_them(tmp_path: Path):
    run = Run(tmp_path)
    run.train("first", "pose", POSE, epochs=1)
    run.train("second", "pose", POSE, epochs=1)
    table = "| Name | Shape |\n| a<b  | (3, 3) |"
    run.folder.stage("second").parameters.write_text(table)
    page = run.write()
    [shown] = page.iter("pre")
    assert text(shown) == table
    around = [text(d.find("summary")) for d in page.iter("details") if shown in list(d.iter())]
    assert around == ["second", "Parameters"]


def test_one_group_without_a_test_split(tmp_path: Path):
    run = Run(tmp_path)
    run.train("only", "pose", POSE, splits=("opt-val",), epochs=1)
    run.select("final", ["only"], test=())
    page = run.write()
    figures = run.results()["final"]
    [table] = page.findall(".//table[@class='tree']")
    score, (low, high) = f"{figures['final_score']:.4f}", figures["ci"]
    assert rows(table) == [["final", score, score, f"{low:.4f} to {high:.4f}"]]


def test_no_figure_is_defined(run: Run):
    def undefined(value: Any) -> Any:
        """The same results, of a split without any known label."""
        if isinstance(value, dict):
            blank = dict.fromkeys(
                ("final_score", "ci", "f1", "f1_ci", "accuracy", "auc", "threshold")
            )
            inner = {name: undefined(part) for name, part in value.items()}
            return inner | {name: None for name in value if name in blank}
        return value

    results = run.results()
    blank = {name: undefined(results[name]) for name in ("stages", "final", "groups")}
    page = Page(run.folder, {**results, **blank})
    parsed = parse(page.text())
    [table] = parsed.findall(".//table[@class='tree']")
    assert [row[2:] for row in rows(table)] == [[DASH] * 5] * 3
    [headline] = parsed.findall(".//p[@class='headline']")
    assert headline[0].text == DASH


def test_a_run_that_has_selected_nothing_yet(tmp_path: Path):
    run = Run(tmp_path)
    run.train("only", "pose", POSE, epochs=2)
    page = run.write()
    assert "no final figure yet" in text(page)
    assert not page.findall(".//table[@class='tree']")
    assert (run.folder.report / "curves_only.png").exists()


def test_of_many_stages_the_first_the_last_and_the_best_of_each_depth_are_compared(run: Run):
    scores = {"a": (0, 0.3), "b": (1, 0.4), "c": (1, 0.6), "d": (0, 0.7), "e": (2, 0.1)}
    scores |= {"f": (2, None), "g": (0, 0.5)}
    config = {"headline": "final_score"}
    config |= {f"stages.{name}.depth": depth for name, (depth, _) in scores.items()}
    stages = {
        name: {"outcome": "selection", "split": {"test": {"honest": {"final_score": score}}}}
        for name, (_, score) in scores.items()
    }
    page = Page(run.folder, {"config": config, "stages": stages})
    assert page._compared("test") == ["a", "c", "d", "e", "g"]


def test_seeds_are_shown_where_there_are_several(run: Run, page: ElementTree.Element):
    assert "Over the seeds" not in text(page)
    results = run.results()
    score = {"values": [0.5, 0.7], "mean": 0.6, "std": 0.14142}
    over = {"final_score": score, "f1": {"values": [0.3, 0.3], "mean": 0.3, "std": 0.0}}
    results["seeds"] = {"teachers": {"opt-val": over}}
    seeds = text(parse(html_page.files(run.folder, results)["index.html"].decode()))
    assert "Over the seeds" in seeds
    assert f"{LABEL}opt-val20.60000.14140.30000.0000" in seeds
    assert "undecided" not in seeds
    results["differences"] = [
        {
            "stage": "teachers",
            "against": "teachers",
            "split": "opt-val",
            "values": [-0.1, 0.2],
            "mean": 0.05,
            "std": 0.2121,
            "interval": (-1.8559, 1.9559),
            "verdict": "undecided",
            "paper": None,
        }
    ]
    seeds = text(parse(html_page.files(run.folder, results)["index.html"].decode()))
    row = f"{LABEL}{LABEL}opt-val{DASH}+0.050-1.856 to +1.956-0.100, +0.200undecided"
    assert row in seeds


def test_folds_are_shown_where_there_are_several(run: Run, page: ElementTree.Element):
    assert "Folds" not in [text(h) for h in page.iter("h2")]
    results = run.results()
    by_fold = {"each": [{"f1": 0.1}, {"f1": 0.3}], "pooled": {"f1": None}}
    results["folds"] = {"teachers": {"test": by_fold}}
    mean = results["stages"]["teachers"]["split"]["test"]["honest"]["f1"]
    folds = parse(Page(run.folder, results).text())
    [table] = [t for t in folds.iter("table") if "pooled" in [text(h) for h in t.iter("th")]]
    assert rows(table) == [[LABEL, "test", "0.1000", "0.3000", f"{mean:.4f}", DASH]]


def with_label_tables(path: Path, given, true, of_epochs) -> tuple[Run, StageFolder]:
    """A run with one training whose stream "noisy" kept the `of_epochs` probabilities of labels."""
    run = Run(path)
    run.train("only", "pose", POSE, epochs=len(of_epochs))
    run.config |= {"stages.only.streams.noisy.labels": "", "stages.only.streams.noisy.split": "n"}
    stage = run.folder.stage("only")
    counts = {au: [1, 1, 0] for au in POSE}
    atomic_files.write_json(stage.label_counts, {"noisy": {"rows": 2, "of": counts}})
    for epoch, probabilities in enumerate(of_epochs, 1):
        table = {"aus": np.array(POSE), "labels": np.array(given, np.int8)}
        table |= {"true": np.array(true, np.int8)}
        table["probabilities"] = np.array(probabilities, np.float32)
        atomic_files.write_arrays(stage.label_table("noisy", epoch), table)
    return run, stage


def test_label_noise_is_shown_where_the_truth_is_known(tmp_path: Path):
    of_epochs = [[[0.9, p], [0.1, p]] for p in (0.9, 0.1)]
    run, _ = with_label_tables(tmp_path, [[1, 0], [0, 1]], [[1, 1], [0, 0]], of_epochs)
    page = run.write()
    assert "only, stream noisy" in [text(h) for h in page.iter("h3")]
    [table] = [t for t in page.iter("table") if "given" in [text(h) for h in t.iter("th")]]
    assert rows(table) == [["AU51", "100.0", "100.0", "100.0"], ["AU52", "0.0", "50.0", "50.0"]]
    assert (run.folder.report / "label_noise_only_noisy.png").exists()


def test_label_noise_of_an_au_without_labels_is_not_known(tmp_path: Path):
    labels = [[1, -1], [0, -1]], [[1, 1], [1, 0]]
    run, stage = with_label_tables(tmp_path, *labels, [[[0.9, 0.9], [0.9, 0.9]]])
    noise = from_run.label_noise(stage, "noisy")
    np.testing.assert_array_equal(noise.given, [0.5, np.nan])
    np.testing.assert_array_equal(noise.refined, [[1, np.nan]])
    [shown] = [t for t in run.write().iter("table") if "given" in [text(h) for h in t.iter("th")]]
    assert rows(shown) == [["AU51", "50.0", "100.0"], ["AU52", DASH, DASH]]


def test_labels_may_have_brackets_and_models_may_be_gone(tmp_path: Path, capsys):
    run = Run(tmp_path)
    run.train("teacher", "pose", POSE, epochs=2)
    run.select("row", ("teacher",), label="Fusion [ours] [/b]")
    shutil.rmtree(run.folder.stage("teacher").model)
    run.write()
    _print_table(run.results())
    assert "Fusion [ours] [/b]" in capsys.readouterr().out


def test_given_labels_are_shown_beside_the_truth(tmp_path: Path):
    run = Run(tmp_path)
    run.train("only", "pose", POSE, epochs=1)
    given = np.array([[1, 0], [1, 0], [0, -1], [0, 1]], np.int8)
    true = np.array([[1, 1, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]], np.int8)
    held = np.array([[1, 0], [1, 0], [0.4, 0], [0, 0]], np.float32)
    arrays = {"aus": np.array(POSE), "labels": given, "true": true, "held": held}
    arrays |= {"true_aus": np.array([*POSE, "AU12"]), "conditions": np.array(["dim", "blurred"])}
    stage = run.folder.stage("only")
    atomic_files.write_arrays(stage.given_labels("noisy"), arrays)
    errors = label_errors(stage, "noisy")
    np.testing.assert_allclose(errors.wrong, [1 / 4, 1 / 3])
    np.testing.assert_allclose(errors.missed, [0, 1 / 2])
    np.testing.assert_allclose(errors.invented, [1 / 3, 0])
    # AU51 is invented on the one face with AU12, and not on the two without, which show AU52.
    # All faces without AU52 show AU12, so there is nothing to compare with.
    np.testing.assert_allclose(errors.confused, [[np.nan, -1, 1], [np.nan] * 3])
    np.testing.assert_array_equal(errors.held, [2, 0])
    np.testing.assert_allclose(errors.wrong_under, [[1 / 2, 1 / 2], [np.nan, np.nan]])
    np.testing.assert_allclose(errors.wrong_else, [[0, 0], [1 / 4, 1 / 3]])
    page = run.write()
    assert "Given labels of noisy, 4 faces" in [text(h) for h in page.iter("h3")]
    [table] = [t for t in page.iter("table") if "invented" in [text(h) for h in t.iter("th")]]
    assert rows(table) == [
        ["AU51", "25.0 %", "0.0 %", "33.3 %", "AU12 (+100)", "dim (+50)"],
        ["AU52", "33.3 %", "50.0 %", "0.0 %", DASH, "dim (+50)"],
        ["mean", "29.2 %", "25.0 %", "16.7 %", DASH, DASH],
    ]
    [table] = [t for t in page.iter("table") if "condition" in [text(h) for h in t.iter("th")]]
    assert rows(table) == [["dim", "2", "50.0 %", "0.0 %"]]
    assert (run.folder.report / "label_errors_noisy.png").exists()


LAMBDA, SHARE = "weight of the contrast", "labelled subjects, %"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Selections that are points of two curves, some before and some after a row that is none."""
    run = Run(tmp_path_factory.mktemp("swept"))
    run.config["headline"] = "f1"
    places = {"a": ("EmoCo", 10), "b": ("EmoCo", 0.1), "c": ("MoCo", 1), "d": ("EmoCo", 1)}
    for name, (line, at) in places.items():
        run.train(f"net_{name}", "pose", POSE, epochs=1)
        run.select(name, [f"net_{name}"], curve=LAMBDA, line=line, at=at)
        if name == "a":
            run.select("row", ["net_a"], label="a row")
    run.select("share", ["net_a"], curve=SHARE, at=5)
    return run


def _table_below(page: ElementTree.Element, title: str) -> ElementTree.Element:
    elements = list(page.iter())
    [start] = [n for n, e in enumerate(elements) if e.tag in ("h2", "h3") and text(e) == title]
    return next(e for e in elements[start:] if e.tag == "table")


def test_a_curve_shows_the_final_split_of_its_points(swept: Run):
    page, results = swept.write(), swept.results()

    def cell(name: str) -> str:
        figures = results["stages"][name]["split"]["test"]["honest"]
        low, high = figures["f1_ci"]
        return f"{figures['f1']:.4f} ({low:.4f} to {high:.4f})"

    table = _table_below(page, LAMBDA)
    assert [text(h) for h in table.findall("thead/tr/th")] == ["", "0.1", "1", "10"]
    assert rows(table) == [
        ["EmoCo", cell("b"), cell("d"), cell("a")],
        ["MoCo", DASH, cell("c"), DASH],
    ]
    assert rows(_table_below(page, SHARE)) == [["mean F1", cell("share")]]
    captions = [text(c) for c in page.iter("figcaption")]
    [by_lambda] = [c for c in captions if LAMBDA in c]
    assert "over the persons of the split. The x axis is logarithmic." in by_lambda
    assert all("logarithmic" not in c for c in captions if SHARE in c)
    assert (swept.folder.report / "curve_2.png").exists()


def test_points_of_a_curve_are_rows_of_the_table_but_not_of_other_charts(swept: Run):
    page, results = swept.write(), swept.results()
    [table] = page.findall(".//table[@class='tree']")
    assert [row[0] for row in rows(table)] == ["a", "a row", "b", "c", "d", "share"]
    [final] = [row for row in table.findall("tbody/tr") if row.get("class") == "final"]
    assert text(final[0]) == "a row"
    assert results["final"] == results["stages"]["row"]["split"]["test"]["honest"]
    assert Page(swept.folder, results)._compared("test") == ["row"]


def test_a_run_with_nothing_but_points(tmp_path: Path):
    run = Run(tmp_path)
    run.train("net", "pose", POSE, epochs=1)
    run.select("only", ["net"], curve=SHARE, line="all", at=100)
    page = run.write()
    assert run.results()["final"] == run.results()["stages"]["only"]["split"]["test"]["honest"]
    assert not (run.folder.report / "scores.png").exists()
    assert _table_below(page, SHARE)


def test_a_point_of_several_seeds_is_their_mean_with_a_t_interval(swept: Run):
    results = swept.results()
    # Of three values the 0.975 quantile of t with two degrees of freedom is 4.3027.
    over = {"values": [0.5, 0.6, 0.7], "mean": 0.6, "std": 0.1}
    alone = {"values": [0.5], "mean": 0.5, "std": None}
    results["seeds"] = {
        name: {"test": {"final_score": over, "f1": alone if name == "c" else over}}
        for name in ("a", "b", "c", "d", "row", "share")
    }
    by_lambda, _ = curves(results, "test")
    assert [point.at for point in by_lambda.lines["EmoCo"]] == [0.1, 1, 10]
    for point in by_lambda.lines["EmoCo"]:
        assert point.value == 0.6
        margin = 4.302653 * 0.1 / 3**0.5
        np.testing.assert_allclose(point.interval, [0.6 - margin, 0.6 + margin], rtol=1e-6)
    [single] = by_lambda.lines["MoCo"]
    assert (single.value, single.interval) == (0.5, None)
    page = parse(Page(swept.folder, results).text())
    assert "the 95 % t-interval over the seeds" in text(page)
    assert rows(_table_below(page, LAMBDA))[1] == ["MoCo", DASH, "0.5000", DASH]


def test_the_chart_of_a_curve_has_its_points_and_their_intervals(
    swept: Run, monkeypatch: pytest.MonkeyPatch
):
    drawn: list[Figure] = []
    monkeypatch.setattr(charts, "_cropped_png", lambda figure: drawn.append(figure) or b"")
    results = swept.results()
    for curve in curves(results, "test"):
        charts.curve(curve, "f1")
    axes = drawn[0].axes[0]
    assert (axes.get_xscale(), drawn[1].axes[0].get_xscale()) == ("log", "linear")
    lines = [line for line in axes.lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in lines if len(line.get_xdata())] == [
        [0.1, 1, 10],
        [1],
    ]
    bars = [line for line in axes.lines if line.get_marker() == "_"]
    ends = {(line.get_xdata()[0], *line.get_ydata()) for line in bars}
    honest = {n: results["stages"][n]["split"]["test"]["honest"]["f1_ci"] for n in "abcd"}
    places = {"a": 10, "b": 0.1, "c": 1, "d": 1}
    assert ends == {(places[name], *honest[name]) for name in "abcd"}
    low, high = axes.get_ylim()
    assert low <= min(min(ci) for ci in honest.values())
    assert high >= max(max(ci) for ci in honest.values())
    left, right = axes.get_xlim()
    assert left < 0.1
    assert right > 10


def test_quoted_rows_are_marked_and_are_no_stages(tmp_path: Path):
    run = Run(tmp_path)
    run.config |= {
        "headline": "f1",
        "quoted.jaa.label": "JAA-Net",
        "quoted.jaa.paper": 0.56,
        "quoted.jaa.paper_au.AU52": 0.4,
        "quoted.lp.label": "LP-Net",
    }
    run.train("net", "pose", POSE, epochs=1)
    run.select("row", ["net"])
    page, results = run.write(), run.results()
    assert list(results["stages"]) == ["net", "row"]
    assert results["quoted"] == {
        "jaa": {"label": "JAA-Net", "paper": 0.56, "paper_au": {"AU52": 0.4}},
        "lp": {"label": "LP-Net", "paper": None, "paper_au": {}},
    }
    marked = [f"{n} (quoted from the paper, not run here)" for n in ("JAA-Net", "LP-Net")]
    [table] = page.findall(".//table[@class='tree']")
    nothing = [DASH] * (len(rows(table)[0]) - 2)
    assert rows(table)[1:] == [[marked[0], "0.5600", *nothing], [marked[1], DASH, *nothing]]
    side_by_side = rows(_table_below(page, "F1 of each AU, side by side"))
    assert side_by_side[1:] == [
        [marked[0], DASH, "0.4000", "0.5600"],
        [marked[1], DASH, DASH, DASH],
    ]


def test_feature_maps_show_how_alike_neighbours_are(tmp_path: Path):
    run = Run(tmp_path)
    random = np.random.default_rng(0)
    arrays = {
        "points": random.normal(size=(20, 2)).astype(np.float32),
        "emotion": (np.arange(20) % 9 - 1).astype(np.int8),
        "present": (np.arange(20) % 3 - 1).astype(np.int8),
        "library": np.array("scikit-learn"),
        "same_emotion": np.array([0.625, 0.125]),
        "same_label": np.array([np.nan, np.nan]),
    }
    run.encode("raw")
    run.feature_map("map", {"raw": arrays, "better": {**arrays, "same_label": np.array([1, 0.5])}})
    page, results = run.write(), run.results()
    outcomes = {name: stage["outcome"] for name, stage in results["stages"].items()}
    assert outcomes == {"raw": "features", "map": "map"}
    assert results["maps"]["map"]["raw"]["same_label"] is None
    table = _table_below(page, "map: AU06 on test")
    shares = ["20", "62.5 %", "12.5 %"]
    assert rows(table) == [
        ["raw", *shares, DASH, DASH, "scikit-learn"],
        ["better", *shares, "100.0 %", "50.0 %", "scikit-learn"],
    ]
    assert (run.folder.report / "map_map_better.png").exists()
    assert "1 set of features kept, 1 comparison of feature maps" in text(page)


def test_a_map_is_coloured_by_emotion_and_by_the_au(monkeypatch: pytest.MonkeyPatch):
    drawn: list[Figure] = []
    monkeypatch.setattr(charts, "_cropped_png", lambda figure: drawn.append(figure) or b"")
    points = np.arange(8, dtype=np.float32).reshape(4, 2)
    arrays = {
        "points": points,
        "emotion": np.array([1, -1, 0, 1]),
        "present": np.array([1, 0, -1, 0]),
    }
    charts.feature_map(arrays, "AU06")
    left, right = drawn[0].axes
    [dots] = left.collections
    assert dots.get_offsets()[0].tolist() == [2, 3], "the unknown one lies below"
    assert [t.get_text() for t in drawn[0].legends[0].get_texts()] == [
        "neutral",
        "happy",
        "unknown",
    ]
    unknown, absent, present = right.collections
    assert [len(dots.get_offsets()) for dots in (unknown, absent, present)] == [1, 2, 1]
    assert (absent.get_facecolors()[:, :3] == present.get_facecolors()[0, :3]).all(1).any()
    assert absent.get_alpha() < present.get_alpha()


def test_a_pretraining_without_aus_shows_all_that_it_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = Run(tmp_path)
    lines = [
        {
            **{"epoch": epoch, "step": 5 * epoch, "loss": 3 / epoch, "loss_emotion": 1 / epoch},
            **{"loss_contrast": 2 / epoch, "emotion_accuracy": 0.5, "learning_rate": 0.1},
            "images_per_second": 9.0,
        }
        for epoch in (1, 2)
    ]
    run.pretrain("pretraining", lines)
    page, results = run.write(), run.results()
    assert results["stages"]["pretraining"]["split"] == {}
    assert rows(_table_below(page, "Training"))[0][-1] == "1.5000"
    assert not (run.folder.report / "labels.png").exists()
    drawn: list[Figure] = []
    monkeypatch.setattr(charts, "_png", lambda figure: drawn.append(figure) or b"")
    charts.curves(lines)
    shown = {
        axes.get_title("left"): {line.get_label(): list(line.get_ydata()) for line in axes.lines}
        for axes in drawn[0].axes
    }
    assert list(shown) == ["training loss", "other figures", "learning rate", "images per second"]
    assert shown["training loss"] == {"whole": [3, 1.5], "emotion": [1, 0.5], "contrast": [2, 1]}
    assert shown["other figures"] == {"emotion accuracy": [0.5, 0.5]}


def _film(run: Run, name: str) -> None:
    """Gives the splits of a stage frames: two videos, of which AU52 changes most in the second."""
    stage = run.folder.stage(name)
    for split in ("opt-val", "test"):
        for epoch in (1, 2):
            scores = stage.read_scores(split, epoch)
            scores.video[:] = ""
            video = np.repeat(["first", "second", ""], 10)
            frame = np.concatenate([np.arange(10), [5, 6, 8, 9, 10, 11, 12, 13, 14, 15], [-1] * 10])
            labels = np.zeros_like(scores.labels)
            labels[:10, 0] = frame[:10] >= 5
            labels[10:20, 1] = frame[10:20] % 2
            filmed = Scores(
                scores.logits, labels, scores.aus, scores.keys, np.repeat(["p", "q", ""], 10),
                video, frame.astype(np.int32),
            )  # fmt: skip
            stage.write_scores(split, epoch, filmed)


def test_scores_over_the_video_whose_labels_change_most(tmp_path: Path):
    run = Run(tmp_path)
    run.train("only", "pose", POSE, epochs=2)
    _film(run, "only")
    run.select("plain", ["only"], label="plain")
    page = run.write()
    assert "Scores over a video" not in [text(h) for h in page.iter("h2")]
    run.select("smooth", ["only"], label="smoothed", windows=(5,))
    page = run.write()
    assert "Scores over a video" in [text(h) for h in page.iter("h2")]
    [caption] = [text(c) for c in page.iter("figcaption") if "from each frame alone" in text(c)]
    for part in (
        "Scores of smoothed over",
        "video second (subject q) of the split test",
        "the AU ",
    ):
        assert part in caption
    assert (run.folder.report / "video.png").exists()

    shown = video_scores(run.folder, run.folder.stage("smooth"), "test")
    assert shown is not None
    assert shown.aus == ("AU52",)
    assert shown.frames.tolist() == list(range(5, 16))
    gap = shown.frames == 7
    assert shown.labels[gap].tolist() == [[-1]]
    assert np.isnan(shown.raw[gap]).all()
    assert np.isnan(shown.smoothed[gap]).all()
    scores = run.folder.stage("only").read_scores("test", 2)
    logits = scores.logits[10:20, 1].astype(np.float64)
    np.testing.assert_allclose(shown.raw[~gap, 0], 1 / (1 + np.exp(-logits)), rtol=1e-5)
    first, rest = logits[:2].mean(), [logits[max(2, i - 2) : i + 3].mean() for i in range(2, 10)]
    expected = 1 / (1 + np.exp(-np.array([first, first, *rest])))
    np.testing.assert_allclose(shown.smoothed[~gap, 0], expected, rtol=1e-5)
    (run.folder.stage("only").scores("test", 2)).unlink()
    assert video_scores(run.folder, run.folder.stage("smooth"), "test") is None


def test_a_resampled_stream_is_counted_before_and_after(tmp_path: Path):
    run = Run(tmp_path)
    run.train("only", "pose", POSE, splits=(), epochs=1)
    run.config |= {"stages.only.streams.opt.labels": "", "stages.only.streams.opt.split": "opt"}
    before = {"rows": 4, "of": {"AU51": [3, 1, 0], "AU52": [1, 2, 1]}}
    after = {"rows": 6, "of": {"AU51": [3, 3, 0], "AU52": [3, 2, 1]}}
    stage = run.folder.stage("only")
    atomic_files.write_json(stage.label_counts, {"opt": {**after, "before": before}})
    sets = from_run._stream_labels([stage], run.config)
    assert [(s.title, s.rows, s.of["AU52"]) for s in sets] == [
        ("opt", 4, (1, 2, 1)),
        ("opt, resampled for:\nonly", 6, (3, 2, 1)),
    ]
