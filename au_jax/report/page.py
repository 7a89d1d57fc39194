"""The report's page: index.html in one file, from results.json and the files that stages left."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from au_jax import html, log
from au_jax.aus import MEANING
from au_jax.html.numbers import DASH, interval, number, setting
from au_jax.metrics import RELIABILITY_BINS
from au_jax.report import charts, from_run, summaries
from au_jax.report.curves import Curve, Point, curves
from au_jax.report.drawn_before import drawn
from au_jax.report.label_errors import LabelErrors, label_errors
from au_jax.report.video_scores import VideoScores, video_scores
from au_jax.run_dir import RunFolder, StageFolder
from au_jax.stage_name import StageName

_COMPARED = 5  # selections side by side in the figure per AU, at most
_QUOTED = "quoted from the paper, not run here"

Results = Mapping[str, Any]
# The values of a section's template; None where the run has nothing to show there.
Section = dict[str, Any] | None


def files(folder: RunFolder, results: Results) -> dict[str, bytes]:
    """The content of index.html, and of every image of it as a PNG file, by name.

    Args:
      results: the contents of results.json.
    """
    page = Page(folder, results)
    text = page.text().encode()
    return {**{f"{name}.png": png for name, png in page.images.items()}, "index.html": text}


class Page:
    """The sections of one run's page, in order.

    Attributes:
      images: the PNG files of the page by name, gathered while its sections are made.
    """

    def __init__(self, folder: RunFolder, results: Results):
        self.folder, self.results = folder, results
        self.config: Mapping[str, Any] = results["config"]
        self.stages: Mapping[str, Any] = results["stages"]
        self.headline: str = self.config["headline"]
        (
            self.selections,
            self.networks,
            self.probes,
            self.labellings,
            self.encodings,
            self.maps,
        ) = (
            [name for name, stage in self.stages.items() if stage["outcome"] == outcome]
            for outcome in ("selection", "network", "probe", "labels", "features", "map")
        )
        # The selections that charts of rows show: points of a curve are in its chart.
        self.rows = summaries.table_rows(self.config, self.selections)
        self.images: dict[str, bytes] = {}

    def text(self) -> str:
        """The whole page."""
        sections = {
            "opening": self._opening(),
            "selections": self._selections(),
            "seeds": self._seeds(),
            "folds": self._folds(),
            "side_by_side": self._side_by_side(),
            "per_au": self._per_au(),
            "reliability": self._reliability(),
            "curves": self._curve_charts(),
            "video": self._video(),
            "feature_maps": self._feature_maps(),
            "labels": self._labels(),
            "label_noise": self._label_noise(),
            "training": self._training(),
            "every_au": self._every_au(),
            "made_with": self._made_with(),
        }
        return html.render(
            "report/page.html",
            title=f"{self.config['name']}: report",
            sections=[(f"{name}.html", values) for name, values in sections.items() if values],
        )

    def _figure(
        self,
        name: str,
        chart: Callable[..., bytes],
        values: Sequence[Any],
        meaning: str,
        caption: str,
    ) -> html.Figure:
        """A function of `charts` with its arguments, as a figure."""
        png = drawn(self.folder.report / f"{name}.png", chart, *values)
        self.images[name] = png
        return html.Figure(png, meaning, caption)

    def _label(self, selection: str) -> str:
        return self.config[f"stages.{selection}.label"]

    def _final(self) -> tuple[str, str]:
        """The selection and the split of the final figure: the last row's, test if it has it."""
        name = (self.rows or self.selections)[-1]
        splits = self.stages[name]["split"]
        return name, "test" if "test" in splits else next(iter(splits))

    # ---- The sections. ----

    def _opening(self) -> Section:
        config, results, final = self.config, self.results, self.results["final"]
        section = {
            "recipe": " ".join(part for part in (config["name"], config["variant"]) if part),
            "data": results["data"],
            "drawn": results["drawn"],
            "unpretrained": self.config.get("model.weights") == "none",
            "device": results["device"],
            "seed": config["seed"],
            "done": self._done(),
            "final": final,
        }
        if final is None:
            return section
        name, split = self._final()
        groups = results["stages"][name]["split"][split]["groups"]
        of_group = {group: both["honest"] for group, both in groups.items()}
        return section | {
            "headline": self.headline,
            "interval": summaries.interval_of(final, self.headline),
            "figure": summaries.FIGURES[self.headline],
            "label": self._label(name),
            "split": split,
            "undefined": summaries.undefined(final),
            "groups": [
                (
                    group,
                    len(figures["au"]),
                    number(figures["final_score"]),
                    interval(figures["ci"]),
                    number(figures["f1"]),
                    interval(summaries.interval_of(figures, "f1")),
                    number(figures["accuracy"]),
                )
                for group, figures in {"all AUs": final, **of_group}.items()
            ],
        }

    def _done(self) -> str:
        """How many stages of each outcome are finished, in words."""
        counts = (
            (len(self.networks), "network trained", "networks trained"),
            (len(self.probes), "linear probe fitted", "linear probes fitted"),
            (len(self.labellings), "set of labels made", "sets of labels made"),
            (len(self.encodings), "set of features kept", "sets of features kept"),
            (len(self.selections), "selection scored", "selections scored"),
            (len(self.maps), "comparison of feature maps", "comparisons of feature maps"),
        )
        done = [
            f"{count} {single if count == 1 else several}"
            for count, single, several in counts
            if count
        ]
        return ", ".join(done) or "no stage is finished"

    def _selections(self) -> Section:
        if not self.selections:
            return None
        of_stages = {name: self.stages[name]["split"] for name in self.selections}
        splits = list(dict.fromkeys(split for scored in of_stages.values() for split in scored))
        depths = {name: self.config[f"stages.{name}.depth"] for name in self.selections}
        papers = {name: self.config[f"stages.{name}.paper"] or None for name in self.selections}
        quoted = self.results["quoted"].values()
        heads = {split: list(self._cells(None, split)) for split in splits}
        rows = [
            {
                "label": self._label(name),
                "depth": depths[name],
                "paper": papers[name],
                "final": name == self._final()[0],
                "cells": [c for s in splits for c in self._cells(scored.get(s), s).values()],
            }
            for name, scored in of_stages.items()
        ]
        rows += [
            {
                "label": f"{row['label']} ({_QUOTED})",
                "depth": 0,
                "paper": row["paper"],
                "final": False,
                "cells": [DASH for of_split in heads.values() for _ in of_split],
            }
            for row in quoted
        ]
        figure = summaries.FIGURES[self.headline]
        title = figure[0].upper() + figure[1:]
        shown = [(self._label(name), depths[name], of_stages[name]) for name in self.rows]
        points = "" if len(shown) == len(of_stages) else " that is no point of a curve"
        chart = shown and self._figure(
            "scores",
            charts.stage_scores,
            (shown, self.headline),
            f"{figure} of every row of the table{points}",
            f"{title} of every row{points}. Dots: honest, with the 95 % interval; hollow: as "
            "printed, where it differs.",
        )
        return {
            "title": title,
            "paper": any(papers.values()) or any(row["paper"] for row in quoted),
            "splits": heads,
            "rows": rows,
            "keep": self.config["checkpoint.keep"],
            "chart": chart,
        }

    def _cells(self, choices: Mapping[str, Any] | None, split: str) -> dict[str, str]:
        """A selection's cells of one split by their heads; dashes where it has no score there."""
        chosen_on = any(
            self.stages[name]["split"].get(split, {}).get("as_printed") is not None
            for name in self.selections
        )
        return summaries.split_cells(choices, chosen_on, self.headline)

    def _seeds(self) -> Section:
        """Mean and standard deviation over the seeds of the whole recipe, where it ran several."""
        rows = [
            [
                self._label(name),
                split,
                len(over["final_score"]["values"]),
                *(
                    number(over[figure][part])
                    for figure in ("final_score", "f1")
                    for part in ("mean", "std")
                ),
            ]
            for name, splits in self.results["seeds"].items()
            for split, over in splits.items()
        ]
        if not rows:
            return None
        differences = [
            summaries.difference_cells(self.config, difference)
            for difference in self.results["differences"]
        ]
        return {
            "rows": rows,
            "figure": summaries.FIGURES[self.headline],
            "head": summaries.DIFFERENCES,
            "differences": differences,
        }

    def _folds(self) -> Section:
        """Each fold's mean F1, where the data are parted into folds."""
        rows = []
        for name, splits in self.results["folds"].items():
            for split, by_fold in splits.items():
                mean = self.stages[name]["split"][split]["honest"]
                figures = (*by_fold["each"], mean, by_fold["pooled"])
                rows.append([self._label(name), split, *(number(f["f1"]) for f in figures)])
        if not rows:
            return None
        folds = (f"fold {fold}" for fold in range(1, len(rows[0]) - 3))
        first = ("networks whose scores are joined", "split")
        return {"head": (*first, *folds, "mean of folds", "pooled"), "rows": rows}

    def _side_by_side(self) -> Section:
        """F1 of each AU of every row, over the paper's own, where F1 is what the paper prints."""
        if self.headline != "f1" or not self.selections:
            return None
        _, split = self._final()
        names = [name for name in self.selections if split in self.stages[name]["split"]]
        aus = list(self.stages[names[0]]["split"][split]["honest"]["au"])
        rows = []
        for name in names:
            honest = self.stages[name]["split"][split]["honest"]
            ours = [honest["au"][au]["f1"] if au in honest["au"] else None for au in aus]
            rows.append([self._label(name), *map(number, (*ours, honest["f1"]))])
            printed = [self.config.get(f"stages.{name}.paper_au.{au}") for au in aus]
            mean = self.config[f"stages.{name}.paper"] or None
            if mean:
                rows.append(["in the paper", *map(number, (*printed, mean))])
        for row in self.results["quoted"].values():
            printed = [row["paper_au"].get(au) for au in aus]
            rows.append([f"{row['label']} ({_QUOTED})", *map(number, (*printed, row["paper"]))])
        return {"split": split, "head": ("F1", *aus, "mean"), "rows": rows}

    def _per_au(self) -> Section:
        if not self.rows:
            return None
        _, split = self._final()
        names = self._compared(split)
        bars = [(self._label(name), self.stages[name]["split"][split]["honest"]) for name in names]
        figure = {"f1": "F1", "final_score": "(accuracy + F1) / 2"}[self.headline]
        caption = f"{figure} of each AU on the split {split}, honest."
        if len(names) < len(self.rows):
            caption += (
                " Shown are the first and the last row of the table, and the best row of each step "
                "of indentation."
            )
        chart = self._figure(
            "per_au",
            charts.per_au,
            (bars, self.headline),
            f"{figure} of each AU, as bars",
            caption,
        )
        return {
            "title": {"f1": "F1", "final_score": "Final score"}[self.headline],
            "chart": chart,
        }

    def _reliability(self) -> Section:
        """Whether AUs are present as often as the last row of the table says they are."""
        for name in self.rows[-1:]:
            on_folds = StageName(name).on_folds(self.config["folds"])
            stages = [self.folder.stage(on_fold) for on_fold in on_folds]
            kept = stages[0].decided_splits()
            splits = [split for split in self.stages[name]["split"] if split in kept]
            if splits:
                chart = self._reliability_chart(name, stages, splits)
                return {"chart": chart, "bins": RELIABILITY_BINS}
        return None

    def _reliability_chart(
        self, name: str, stages: Sequence[StageFolder], splits: Sequence[str]
    ) -> html.Figure:
        counts = {}
        for split in splits:
            aus, counts[split] = from_run.reliability(stages, split)
        faces = ", ".join(
            f"{self.stages[name]['split'][split]['honest']['n']} faces of {split}"
            for split in splits
        )
        label = self._label(name)
        return self._figure(
            "reliability",
            charts.reliability,
            (aus, counts),
            f"reliability diagram of each AU of {label}",
            f"{label}: the share of faces that show an AU over their mean probability, in "
            f"{RELIABILITY_BINS} bins of equal width, of {faces} (those whose label is known). A "
            "larger dot stands for more faces. On the dashed line a probability is what it says. "
            "The ECE of each split stands above, in their order.",
        )

    def _compared(self, split: str) -> list[str]:
        """The selections of the figure per AU, in order.

        All, or of many the first, the last, and of each depth the one that scores best.
        """
        names = [name for name in self.rows if split in self.stages[name]["split"]]
        if len(names) <= _COMPARED:
            return names
        best: dict[int, str] = {}

        def score(name: str) -> float:
            return self.stages[name]["split"][split]["honest"][self.headline] or 0.0

        for name in names:
            depth = self.config[f"stages.{name}.depth"]
            if depth not in best or score(name) > score(best[depth]):
                best[depth] = name
        chosen = list(dict.fromkeys([names[0], names[-1], *best.values()]))[:_COMPARED]
        return [name for name in names if name in chosen]

    def _curve_charts(self) -> Section:
        """The headline figure over each setting in which selections differ."""
        if len(self.rows) == len(self.selections):
            return None
        _, split = self._final()
        shown = [
            {
                "title": curve.title,
                "chart": self._curve_chart(f"curve_{count}", curve, split),
                "head": ("", *(f"{place:g}" for place in curve.places)),
                "rows": [
                    (line, *(_cell(points, place) for place in curve.places))
                    for line, points in curve.lines.items()
                ],
            }
            for count, curve in enumerate(curves(self.results, split), 1)
        ]
        return {"curves": shown, "split": split} if shown else None

    def _curve_chart(self, name: str, curve: Curve, split: str) -> html.Figure:
        figure = summaries.FIGURES[self.headline]
        points = "Points: the honest figure; bars: its 95 % interval over the persons of the split."
        if self.results["seeds"]:
            points = "Points: the mean over the seeds; bars: the 95 % t-interval over the seeds."
        axis = " The x axis is logarithmic." if curve.logarithmic else ""
        return self._figure(
            name,
            charts.curve,
            (curve, self.headline),
            f"{figure} over {curve.title}, as lines",
            f"{figure[0].upper()}{figure[1:]} on the split {split} over {curve.title}. {points}"
            f"{axis}",
        )

    def _video(self) -> Section:
        """Truth, raw and smoothed score over one video, of the last selection that smooths."""
        for name in reversed(self.selections):
            stage = self.folder.stage(StageName(name).on_folds(self.config["folds"])[0])
            splits = list(self.stages[name]["split"])
            for split in sorted(splits, key=lambda split: split != "test"):
                scores = video_scores(self.folder, stage, split)
                if scores is not None:
                    return {"chart": self._video_chart(scores, name, split)}
        return None

    def _video_chart(self, scores: VideoScores, name: str, split: str) -> html.Figure:
        person = f" (subject {scores.subject})" if scores.subject else ""
        fold = " on fold 1" if self.config["folds"] else ""
        aus = "AU" if len(scores.aus) == 1 else "AUs"
        return self._figure(
            "video",
            charts.video,
            (scores,),
            f"raw and smoothed scores of {', '.join(scores.aus)} over the frames of a video",
            f"Scores of {self._label(name)}{fold} over the frames of the video {scores.video}"
            f"{person} of the split {split}, the one whose labels change most often, for the {aus} "
            "that change most often in it. Orange: from each frame alone; blue: from the mean over "
            "neighbouring frames; dashed: the threshold of the selection, as it was chosen on all "
            "of its validation split; shaded: the AU is present.",
        )

    def _feature_maps(self) -> Section:
        """Maps of features, and how alike neighbours in the feature space are."""
        stages = [self._feature_map(name) for name in self.maps]
        return {"stages": stages} if stages else None

    def _feature_map(self, name: str) -> dict[str, Any]:
        au, split = (self.config[f"stages.{name}.{field}"] for field in ("au", "split"))
        inputs = [StageName.parse(text).base for text in self.config[f"stages.{name}.inputs"]]
        maps = [
            self._figure(
                f"map_{name}_{of_stage}",
                charts.feature_map,
                (self.folder.stage(name).read_map(of_stage), au),
                f"map of the features of {of_stage} on {split}, by emotion and by {au}",
                f"The features of {of_stage}: every dot is a face of the split {split}, and faces "
                "with features alike lie close together. Left: coloured by emotion. Right: the "
                f"same faces, in full colour where {au} is present, faint where it is absent, and "
                "grey where the label or the emotion is not known. Distances between far groups "
                "and the axes mean nothing.",
            )
            for of_stage in inputs
        ]
        figures = self.results["maps"][name]
        rows = [
            (
                of_stage,
                figures[of_stage]["records"],
                *map(_percent, figures[of_stage]["same_emotion"] or (None, None)),
                *map(_percent, figures[of_stage]["same_label"] or (None, None)),
                figures[of_stage]["library"],
            )
            for of_stage in inputs
        ]
        return {"name": name, "au": au, "split": split, "maps": maps, "rows": rows}

    def _labels(self) -> Section:
        sets = from_run.label_sets(self.folder, self.results)
        if not sets:
            return None
        chart = self._figure(
            "labels",
            charts.labels,
            (sets,),
            "share of faces in which each AU is present, absent or unknown",
            "Share of the faces of each set in which an AU is present, absent or unknown; the "
            "figure is the number of faces that show it. A set whose labels a stage made is named "
            "after that stage.",
        )
        rows = [
            (
                f"{au} {MEANING[au]}",
                *(" / ".join(map(str, s.of[au])) if au in s.of else DASH for s in sets),
            )
            for au in MEANING
            if any(au in counts.of for counts in sets)
        ]
        head = ("present / absent / unknown", *(counts.title for counts in sets))
        return {"chart": chart, "head": head, "rows": rows}

    def _label_noise(self) -> Section:
        """How noisy labels err, and what refinement mends, where the truth is known."""
        learned = {
            split: stage
            for stage in map(self.folder.stage, self.networks)
            for split in stage.given_splits()
        }
        splits = [self._given_labels(stage, split) for split, stage in learned.items()]
        streams = [stream for name in self.networks for stream in self._noisy_streams(name)]
        return {"splits": splits, "streams": streams} if splits or streams else None

    def _given_labels(self, stage: StageFolder, split: str) -> dict[str, Any]:
        errors = label_errors(stage, split)
        chart = self._figure(
            f"label_errors_{split}",
            charts.label_errors,
            (errors,),
            f"how often each AU of {split} is missed and invented, and where it is wrong more",
            "Left: of each AU, how often the label is missed (absent where the AU is truly "
            "present) and invented (the other way round). Middle: how much oftener the AU of the "
            "row is invented on faces that show the AU of the column than on faces that do not, in "
            "points of a percentage. Right: how much oftener a label is wrong on faces under a "
            "condition than on all others.",
        )
        columns = (errors.wrong, errors.missed, errors.invented)
        rows = [
            (au, *(_percent(of[a]) for of in columns), *_strongest(errors, a))
            for a, au in enumerate(errors.aus)
        ]
        return {
            "name": split,
            "records": errors.records,
            "chart": chart,
            "head": ("AU", "wrong", "missed", "invented", "most confused with", "most wrong when"),
            "words": ("most confused with", "most wrong when"),
            "rows": [*rows, ("mean", *(_mean_percent(of) for of in columns), DASH, DASH)],
            "conditions": [
                (name, number, *(_mean_percent(of) for of in shares))
                for name, number, *shares in zip(
                    errors.conditions,
                    errors.held.tolist(),
                    errors.wrong_under,
                    errors.wrong_else,
                    strict=True,
                )
                if number
            ],
        }

    def _noisy_streams(self, name: str) -> Iterator[dict[str, Any]]:
        stage = self.folder.stage(name)
        for stream in stage.read_label_counts():
            noise = from_run.label_noise(stage, stream)
            if noise is None:
                continue
            chart = self._figure(
                f"label_noise_{name}_{stream}",
                charts.label_noise,
                (noise, log.read_metrics(stage.metrics)),
                f"share of right labels of {name}, over the epochs and of each AU",
                "Left: the share of labels that are right; those selected are the entries with "
                "the smallest loss. Right: of each AU, before and after refinement.",
            )
            shares = 100 * np.vstack((noise.given, noise.refined)).T
            rows = [
                (au, *(DASH if np.isnan(share) else f"{share:.1f}" for share in of_au))
                for au, of_au in zip(noise.aus, shares.tolist(), strict=True)
            ]
            head = ("AU", "given", *(f"epoch {epoch}" for epoch in noise.epochs))
            yield {"stage": name, "name": stream, "chart": chart, "head": head, "rows": rows}

    def _training(self) -> Section:
        if not self.networks:
            return None
        scored = (self.stages[name]["split"] for name in self.networks)
        splits = list(dict.fromkeys(split for of_network in scored for split in of_network))
        rows, networks = [], []
        for name in self.networks:
            stage = self.folder.stage(name)
            lines = log.read_metrics(stage.metrics)
            rows.append(self._network_row(name, lines, splits))
            has_table = stage.parameters.exists()
            networks.append(
                {
                    "stage": name,
                    "charts": [*self._curves(name, lines), *self._epoch_charts(name)],
                    "parameters": stage.parameters.read_text("utf-8") if has_table else "",
                }
            )
        first = ("stage", "network", "AUs", "crop", "epochs", "steps", "last loss")
        head = (*first, *(f"score, {split}" for split in splits))
        return {"head": head, "rows": rows, "networks": networks}

    def _network_row(
        self, name: str, lines: list[dict[str, float]], splits: list[str]
    ) -> tuple[str, ...]:
        scored, last = self.stages[name]["split"], lines[-1] if lines else None
        backbone = self.config[f"stages.{name}.model.backbone"]
        scores = (scored[s]["honest"]["final_score"] if s in scored else None for s in splits)
        return (
            name,
            str(backbone),
            str(self.config[f"stages.{name}.group"]),
            str(self.config[f"stages.{name}.crop"]),
            str(len(lines)),
            str(int(last["step"])) if last else DASH,
            f"{last['loss']:.4f}" if last else DASH,
            *map(number, scores),
        )

    def _curves(self, name: str, lines: list[dict[str, float]]) -> Iterator[html.Figure]:
        if lines:
            yield self._figure(
                f"curves_{name}",
                charts.curves,
                (lines,),
                f"losses, learning rate, speed and other figures of {name} over its epochs",
                "Each point is one epoch. The speed of the first one includes compilation.",
            )

    def _epoch_charts(self, name: str) -> Iterator[html.Figure]:
        for split in self.config[f"stages.{name}.validate"]:
            scores = from_run.epoch_scores(self.folder.stage(name), split)
            if scores is not None:
                yield self._figure(
                    f"epochs_{name}_{split}",
                    charts.epochs,
                    (scores,),
                    f"final score of each AU of {name} on {split} over the epochs",
                    f"Final score of each AU on {split} after every epoch, at threshold 0.5. "
                    "The star marks the best epoch (its score and number stand above, then the "
                    "last epoch's score). Each panel has a scale of its own.",
                )

    def _every_au(self) -> Section:
        stages = []
        for name, stage in self.stages.items():
            label = self.config.get(f"stages.{name}.label")
            splits = [
                {
                    "name": split,
                    "text": summaries.about_split(choices),
                    "rows": summaries.au_rows(choices),
                }
                for split, choices in stage["split"].items()
            ]
            if splits:
                title = f"{name}: {label}" if label and label != name else name
                stages.append({"title": title, "splits": splits})
        return {"stages": stages} if stages else None

    def _made_with(self) -> Section:
        versions = {"device": self.results["device"], **self.results["versions"]}
        fields = [(name, setting(value)) for name, value in self.config.items()]
        set_fields = [(name, value) for name, value in fields if value != DASH]
        return {"versions": list(versions.items()), "fields": set_fields}


def _cell(points: Sequence[Point], place: float) -> str:
    """A line's figure at a place of the x axis with its interval; a dash where it has no point."""
    shown = [
        number(point.value) + (f" ({interval(point.interval)})" if point.interval else "")
        for point in points
        if point.at == place
    ]
    return "; ".join(shown) or DASH


def _strongest(errors: LabelErrors, au: int) -> tuple[str, str]:
    """With which AU the AU at the place `au` is confused most, and when it is wrong most."""
    return (
        _largest(errors.confused[au], errors.others),
        _largest((errors.wrong_under - errors.wrong_else)[:, au], errors.conditions),
    )


def _largest(values: np.ndarray, names: Sequence[str]) -> str:
    """The name of the largest value above 0, and that value in points; a dash without one."""
    place = int(np.nanargmax(np.append(values, 0)))
    return DASH if place == len(names) else f"{names[place]} (+{100 * values[place]:.0f})"


def _percent(share: float | None) -> str:
    return DASH if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def _mean_percent(shares: np.ndarray) -> str:
    """The mean of the shares that are defined."""
    defined = shares[~np.isnan(shares)]
    return _percent(defined.mean() if len(defined) else None)
