"""The page: index.html, self-contained, from results.json and the files that the stages kept."""

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from au_jax import log, run_dir
from au_jax.aus import MEANING
from au_jax.report import charts, from_run, markup, summaries
from au_jax.report.markup import DASH
from au_jax.report.style import STYLE
from au_jax.run_dir import RunFolder

_COMPARED = 5  # select stages side by side in the figure per AU, at most

Results = Mapping[str, Any]


def write(folder: RunFolder, results: Results) -> None:
    """Writes report/index.html, and beside it every picture of it as a PNG file.

    Args:
      results: the contents of results.json.
    """
    page = Page(folder, results)
    html = page.html()
    for name, png in page.pictures.items():
        with run_dir.replacing(folder.report / f"{name}.png") as temporary:
            temporary.write_bytes(png)
    with run_dir.replacing(folder.report / "index.html") as temporary:
        temporary.write_text(html, encoding="utf-8")


class Page:
    """The parts of one run's page; `pictures` gathers the PNGs by name while they are embedded."""

    def __init__(self, folder: RunFolder, results: Results):
        self.folder, self.results = folder, results
        self.config: Mapping[str, Any] = results["config"]
        self.stages: Mapping[str, Any] = results["stages"]
        self.pictures: dict[str, bytes] = {}

    def html(self) -> str:
        parts = [
            self._opening(),
            self._selections(),
            self._seeds(),
            self._folds(),
            self._side_by_side(),
            self._per_au(),
            self._labels(),
            self._label_noise(),
            self._training(),
            self._every_au(),
            self._made_with(),
        ]
        title = escape(f"{self.config['name']}: report")
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
            f"<title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n"
            + "\n".join(part for part in parts if part)
            + "\n</main></body></html>\n"
        )

    def _picture(self, name: str, png: bytes, meaning: str, caption: str) -> str:
        self.pictures[name] = png
        data = base64.b64encode(png).decode()
        return (
            f'<figure><div class="wide"><img alt="{escape(meaning)}" '
            f'src="data:image/png;base64,{data}"/></div>'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )

    def _of_kind(self, kind: str) -> list[str]:
        return [name for name, stage in self.stages.items() if stage["kind"] == kind]

    def _stage(self, name: str, field: str) -> Any:
        """A field of a stage's config, from the top where the stage leaves it unset."""
        own = self.config[f"stages.{name}.{field}"]
        return self.config[field] if own is None else own

    def _headline(self) -> tuple[str, str]:
        """The select stage and the split of the final figure: the last one's, test if it has it."""
        name = self._of_kind("select")[-1]
        splits = self.stages[name]["split"]
        return name, "test" if "test" in splits else next(iter(splits))

    # ---- The sections. ----

    def _opening(self) -> str:
        config, results = self.config, self.results
        title = " ".join(part for part in (config["name"], config["variant"]) if part)
        kinds = {
            "train": ("network trained", "networks trained"),
            "pseudo_label": ("set of labels made by a network", "sets of labels made by networks"),
            "select": ("selection scored", "selections scored"),
        }
        done = [
            f"{len(self._of_kind(kind))} {words[len(self._of_kind(kind)) != 1]}"
            for kind, words in kinds.items()
            if self._of_kind(kind)
        ]
        parts = [
            f"<h1>{escape(title)}</h1>",
            "<p>Facial action units (AUs) are the smallest visible movements of a face, such as a "
            "raised inner brow (AU01). This run trained networks that say for each AU whether a "
            "picture of a face shows it.</p>",
            f"<p>Recipe <b>{escape(title)}</b> on the data set <b>{escape(results['data'])}</b>, "
            f"on {escape(results['device'])}, seed {escape(str(config['seed']))}: "
            f"{escape(', '.join(done) or 'no stage is finished')}.</p>",
        ]
        if results["data"] == "synthetic_faces":
            parts.append(
                '<p class="warning"><b>These faces are drawn by a program.</b> The figures show '
                "that the method runs and how its parts compare on drawn faces. They say nothing "
                "about real faces.</p>"
            )
        final = results["final"]
        if final is None:
            parts.append("<p>No selection has been scored, so there is no final figure yet.</p>")
            return "".join(parts)
        name, split = self._headline()
        headline = config["headline"]
        interval = f"<small>95 % interval {markup.interval(final['ci'])}</small>"
        parts.append(
            f'<p class="headline"><b>{markup.number(final[headline])}</b> '
            f"{interval if headline == 'final_score' else ''}</p>"
            f"<p>is the {summaries.FIGURES[headline]} of "
            f"“{escape(self.config[f'stages.{name}.label'])}” on the "
            f"{final['n']} faces of the split <b>{escape(split)}</b>, over {len(final['au'])} AUs."
            f"{escape(summaries.undefined(final))}</p>"
        )
        groups = {"all AUs": final, **results["groups"]}
        parts.append(
            markup.table(
                ("", "AUs", "final score", "95 % interval", "mean F1", "mean accuracy"),
                [
                    (
                        group,
                        str(len(figures["au"])),
                        markup.number(figures["final_score"]),
                        markup.interval(figures["ci"]),
                        markup.number(figures["f1"]),
                        markup.number(figures["accuracy"]),
                    )
                    for group, figures in groups.items()
                ],
            )
        )
        parts.append(
            "<h2>What the score is</h2><p><b>Final score = (mean accuracy + mean F1) / 2</b>, the "
            "means taken over AUs. Accuracy is the share of right decisions. Most AUs are absent "
            "from most faces, so always saying “absent” already gives a high accuracy; F1 looks "
            "only at how well the present ones are found, and is 0 for that answer. 1 is perfect "
            "in both. The <b>95 % interval</b> is how far the score moves when the persons of the "
            "split are drawn again at random; it does not cover what another seed of the training "
            f"would change. {DASH} stands for a figure that is not defined: an AU of which the "
            "split has no positive example has no F1, and is left out of the mean.</p>"
        )
        return "".join(parts)

    def _seeds(self) -> str:
        """Mean and standard deviation over the seeds of the whole recipe, where it ran several."""
        rows = [
            [
                self.config[f"stages.{name}.label"],
                split,
                str(len(over["final_score"]["values"])),
                *(
                    markup.number(over[figure][part])
                    for figure in ("final_score", "f1")
                    for part in ("mean", "std")
                ),
            ]
            for name, splits in self.results["seeds"].items()
            for split, over in splits.items()
        ]
        if not rows:
            return ""
        first = ("networks whose scores are joined", "split", "seeds")
        head = (*first, "final score", "standard deviation", "mean F1", "standard deviation")
        return (
            "<h2>Over the seeds</h2><p>The honest figures of the whole recipe, run from several "
            "seeds; the other sections show the first.</p>"
            + markup.wide(markup.table(head, rows, text=("split",)))
        )

    def _folds(self) -> str:
        """Each fold's mean F1, where the data are parted into folds."""
        rows = []
        for name, splits in self.results["folds"].items():
            for split, by_fold in splits.items():
                mean = self.stages[name]["split"][split]["honest"]
                figures = (*by_fold["each"], mean, by_fold["pooled"])
                label = self.config[f"stages.{name}.label"]
                rows.append([label, split, *(markup.number(f["f1"]) for f in figures)])
        if not rows:
            return ""
        number = len(rows[0]) - 4
        folds = (f"fold {k}" for k in range(1, number + 1))
        head = ("networks whose scores are joined", "split", *folds, "mean of folds", "pooled")
        return (
            "<h2>Folds</h2><p>Mean F1 of each fold; of the folds, each AU averaged over them first "
            "(all other sections show that mean); and of all folds' faces together. Curves are of "
            "the first fold.</p>" + markup.wide(markup.table(head, rows, text=("split",)))
        )

    def _selections(self) -> str:
        names = self._of_kind("select")
        if not names:
            return ""
        splits = list(dict.fromkeys(s for n in names for s in self.stages[n]["split"]))
        paper = any(self.config[f"stages.{n}.paper"] for n in names)
        rows, shown = [], []
        for name in names:
            label, depth = (self.config[f"stages.{name}.{f}"] for f in ("label", "depth"))
            figure = self.config[f"stages.{name}.paper"]
            parts = self.stages[name]["split"]
            shown.append((label, depth, parts))
            cells = [
                markup.cell(
                    ("↳ " if depth else "") + label,
                    "th",
                    f' scope="row" style="padding-left:{0.6 + 1.4 * depth:.1f}em"',
                )
            ]
            if paper:
                cells.append(markup.cell(markup.number(figure or None)))
            for split in splits:
                found = self._cells(parts.get(split), split)
                cells += [markup.cell(content) for content in found.values()]
            final = ' class="final"' if name == self._headline()[0] else ""
            rows.append(f"<tr{final}>{''.join(cells)}</tr>")
        first = ['<th rowspan="2" class="words" scope="col">networks whose scores are joined</th>']
        if paper:
            first.append('<th rowspan="2" scope="col">in the paper</th>')
        second = []
        for split in splits:
            heads = self._cells(None, split)
            first.append(f'<th colspan="{len(heads)}" scope="colgroup">{escape(split)}</th>')
            second += [markup.cell(head, "th", ' scope="col"') for head in heads]
        table = (
            f'<table class="tree"><thead><tr>{"".join(first)}</tr><tr>{"".join(second)}</tr>'
            f"</thead><tbody>{''.join(rows)}</tbody></table>"
        )
        figure = summaries.FIGURES[self.config["headline"]]
        title = figure[0].upper() + figure[1:]
        text = (
            "Every row joins the outputs of one or more trained networks into one answer per AU "
            "and face. A row set in under another one was trained with its help. "
        )
        if paper:
            text += (
                "The column “in the paper” is the authors' own figure for that row; it can be "
                "compared with ours only on the same data, networks and training lengths. "
            )
        meaning = (
            "<p><b>As printed</b>: epochs, thresholds or weights were chosen on a split and scored "
            "on the same split, as papers print it, which flatters; <b>honest</b>: they were "
            "chosen on other persons than those that are scored. The two are equal where nothing "
            "is chosen.</p>"
        )
        keep = self.config["checkpoint.keep"]
        if keep > 1:
            meaning += (
                f"<p>Models were kept of one epoch in {keep} and of the last only: a best epoch "
                "was chosen among those.</p>"
            )
        picture = self._picture(
            "scores",
            charts.stage_scores(shown, self.config["headline"]),
            f"{figure} of every row of the table",
            f"{title} of every row. Dots: honest, the final score with its "
            "95 % interval; hollow: as printed, where it differs.",
        )
        return (
            f"<h2>{title} step by step</h2><p>{escape(text)}</p>{markup.wide(table)}"
            f"{meaning}{picture}"
        )

    def _cells(self, choices: Mapping[str, Any] | None, split: str) -> dict[str, str]:
        return summaries.split_cells(choices, self._prints(split), self.config["headline"])

    def _prints(self, split: str) -> bool:
        """Whether any selection was chosen on this split."""
        return any(
            self.stages[n]["split"].get(split, {}).get("as_printed") is not None
            for n in self._of_kind("select")
        )

    def _compared(self, split: str) -> list[str]:
        """The select stages of the figure per AU, in order.

        All, or of many the first, the last, and of each depth the one that scores best.
        """
        names = [n for n in self._of_kind("select") if split in self.stages[n]["split"]]
        if len(names) <= _COMPARED:
            return names
        best: dict[int, str] = {}

        def score(name: str) -> float:
            return self.stages[name]["split"][split]["honest"][self.config["headline"]] or 0.0

        for name in names:
            depth = self.config[f"stages.{name}.depth"]
            if depth not in best or score(name) > score(best[depth]):
                best[depth] = name
        chosen = list(dict.fromkeys([names[0], names[-1], *best.values()]))[:_COMPARED]
        return [name for name in names if name in chosen]

    def _per_au(self) -> str:
        if not self._of_kind("select"):
            return ""
        _, split = self._headline()
        names = self._compared(split)
        bars = [
            (self.config[f"stages.{n}.label"], self.stages[n]["split"][split]["honest"])
            for n in names
        ]
        headline = self.config["headline"]
        figure = {"f1": "F1", "final_score": "(accuracy + F1) / 2"}[headline]
        caption = f"{figure} of each AU on the split {split}, honest."
        if len(names) < len(self._of_kind("select")):
            caption += (
                " Shown are the first and the last row of the table, and the best row of each step "
                "of indentation."
            )
        picture = self._picture(
            "per_au", charts.per_au(bars, headline), f"{figure} of each AU, as bars", caption
        )
        title = {"f1": "F1", "final_score": "Final score"}[headline]
        return f"<h2>{title} of each AU</h2>{picture}"

    def _side_by_side(self) -> str:
        """F1 of each AU of every row, over the paper's own, where F1 is what the paper prints."""
        if self.config["headline"] != "f1" or not self._of_kind("select"):
            return ""
        _, split = self._headline()
        names = [n for n in self._of_kind("select") if split in self.stages[n]["split"]]
        aus = list(self.stages[names[0]]["split"][split]["honest"]["au"])
        rows = []
        for name in names:
            honest = self.stages[name]["split"][split]["honest"]
            ours = [honest["au"][au]["f1"] if au in honest["au"] else None for au in aus]
            label = self.config[f"stages.{name}.label"]
            rows.append([label, *(markup.number(f) for f in (*ours, honest["f1"]))])
            printed = [self.config.get(f"stages.{name}.paper_au.{au}") for au in aus]
            mean = self.config[f"stages.{name}.paper"] or None
            if mean:
                rows.append(["in the paper", *(markup.number(f) for f in (*printed, mean))])
        table = markup.table(("F1", *aus, "mean"), rows)
        return (
            f"<h2>F1 of each AU, side by side</h2><p>On the split {escape(split)}, honest. The "
            "paper's figures can be compared with ours only on the same data, networks and "
            f"training lengths.</p>{markup.wide(table)}"
        )

    def _labels(self) -> str:
        sets = from_run.label_sets(self.folder, self.results)
        if not sets:
            return ""
        picture = self._picture(
            "labels",
            charts.labels(sets),
            "share of faces in which each AU is present, absent or unknown",
            "Share of the faces of each set in which an AU is present, absent or unknown; the "
            "figure is the number of faces that show it. A set labelled by a network is named "
            "after the stage that did it.",
        )
        names = [au for au in MEANING if any(au in counts.of for counts in sets)]
        rows = [
            (
                f"{au} {MEANING[au]}",
                *(" / ".join(map(str, s.of[au])) if au in s.of else DASH for s in sets),
            )
            for au in names
        ]
        table = markup.table(("present / absent / unknown", *(s.title for s in sets)), rows)
        return f"<h2>Labels</h2>{picture}{markup.folded('The counts in figures', table)}"

    def _label_noise(self) -> str:
        """How right noisy labels are before and after refinement, where the truth is known."""
        parts = []
        for name in self._of_kind("train"):
            stage = self.folder.stage(name)
            for stream in run_dir.read_json(stage.label_counts):
                noise = from_run.label_noise(stage, stream)
                if noise is None:
                    continue
                head = ("AU", "given", *(f"epoch {epoch}" for epoch in noise.epochs))
                rows = [
                    (au, *(f"{100 * v:.1f}" for v in (noise.given[a], *noise.refined[:, a])))
                    for a, au in enumerate(noise.aus)
                ]
                picture = self._picture(
                    f"label_noise_{name}_{stream}",
                    charts.label_noise(noise, log.read_metrics(stage.metrics)),
                    f"share of right labels of {name}, over the epochs and of each AU",
                    "Left: the share of labels that are right; those selected are the entries with "
                    "the smallest loss. Right: of each AU, before and after refinement.",
                )
                table = markup.wide(markup.table(head, rows))
                folded = markup.folded("Right labels of each AU and epoch, %", table)
                parts.append(f"<h3>{escape(name)}, stream {escape(stream)}</h3>{picture}{folded}")
        if not parts:
            return ""
        return (
            "<h2>Label noise</h2><p>The true labels of these records are known, for this report "
            "only: training never sees them.</p>" + "".join(parts)
        )

    def _training(self) -> str:
        names = self._of_kind("train")
        if not names:
            return ""
        splits = list(dict.fromkeys(s for n in names for s in self.stages[n]["split"]))
        rows, details = [], []
        for name in names:
            lines = log.read_metrics(self.folder.stage(name).metrics)
            scored = self.stages[name]["split"]
            rows.append(
                (
                    name,
                    str(self._stage(name, "model.backbone")),
                    str(self.config[f"stages.{name}.group"]),
                    str(self.config[f"stages.{name}.crop"]),
                    str(len(lines)),
                    str(int(lines[-1]["step"])) if lines else DASH,
                    f"{lines[-1]['loss']:.4f}" if lines else DASH,
                    *(
                        markup.number(scored[s]["honest"]["final_score"]) if s in scored else DASH
                        for s in splits
                    ),
                )
            )
            details.append(markup.folded(name, self._curves(name, lines)))
        words = ("network", "AUs", "crop")
        head = ("stage", *words, "epochs", "steps", "last loss", *(f"score, {s}" for s in splits))
        table = markup.table(head, rows, text=words)
        details[0] = details[0].replace("<details>", "<details open=''>", 1)
        return (
            "<h2>Training</h2><p>One row for each trained network; its final score is that after "
            f"its last epoch, at threshold 0.5.</p>{table}<p>How each training went:</p>"
            + "".join(details)
        )

    def _curves(self, name: str, lines: list[dict[str, float]]) -> str:
        parts = []
        if lines:
            parts.append(
                self._picture(
                    f"curves_{name}",
                    charts.curves(lines),
                    f"loss, score, learning rate and speed of {name} over its epochs",
                    "Each point is one epoch. The speed of the first one includes compilation.",
                )
            )
        for split in self.config[f"stages.{name}.validate"]:
            scores = from_run.epoch_scores(self.folder.stage(name), split)
            if scores is not None:
                parts.append(
                    self._picture(
                        f"epochs_{name}_{split}",
                        charts.epochs(scores),
                        f"final score of each AU of {name} on {split} over the epochs",
                        f"Final score of each AU on {split} after every epoch, at threshold 0.5. "
                        "The star marks the best epoch (its score and number stand above, then the "
                        "last epoch's score). Each panel has a scale of its own.",
                    )
                )
        return "".join(parts)

    def _every_au(self) -> str:
        parts = []
        for name, stage in self.stages.items():
            tables = [
                f"<h3>{escape(split)}</h3><p>{escape(summaries.about_split(choices))}</p>"
                + summaries.au_table(choices)
                for split, choices in stage["split"].items()
            ]
            if tables:
                label = self.config.get(f"stages.{name}.label")
                title = f"{name}: {label}" if label and label != name else name
                parts.append(markup.folded(title, "".join(tables)))
        if not parts:
            return ""
        return (
            "<h2>Every AU of every stage</h2><p>AUC is the chance that a face that shows the AU "
            "gets a higher score than one that does not; 0.5 is guessing. An AU counts as present "
            "from the threshold upwards. The last column names the epochs of each training stage "
            "whose scores are joined.</p>" + "".join(parts)
        )

    def _made_with(self) -> str:
        versions = {"device": self.results["device"], **self.results["versions"]}
        fields = [(name, markup.value(value)) for name, value in self.config.items()]
        set_fields = [(name, value) for name, value in fields if value != DASH]
        return (
            "<h2>Configuration and versions</h2>"
            + markup.table(("part", "version"), list(versions.items()), text=("version",))
            + markup.folded(
                f"Configuration ({len(set_fields)} fields; what a stage leaves unset is taken "
                "from the field of the same name at the top)",
                markup.table(("field", "value"), set_fields, text=("value",)),
            )
        )
