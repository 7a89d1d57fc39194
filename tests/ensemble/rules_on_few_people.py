"""What the rules of a choice cost on few people: F1 on others than those that it was made on.

    python tests/ensemble/rules_on_few_people.py RUN STAGE SPLIT

chooses epochs and thresholds of a finished train stage on 13, 40 and 125 people of a split by every
rule, and prints the difference of mean F1 on all other people from the last epoch at threshold 0.5:
its mean over 40 draws of people, twice its standard error, and in how many draws it is positive.
"""

import sys
from pathlib import Path

import numpy as np

from au_jax import metrics
from au_jax.ensemble import choose, selection
from au_jax.ensemble.choose import Candidate
from au_jax.ensemble.epochs import EPOCH_RULES
from au_jax.ensemble.thresholds import THRESHOLD_RULES
from au_jax.run_dir import RunFolder

PEOPLE, DRAWS = (13, 40, 125), 40
PLAIN = ("last", "default")


def main(run: str, stage: str, split: str) -> None:
    folder = RunFolder(Path(run)).stage(stage)
    numbers = folder.scored_epochs(split)
    scores = [folder.read_scores(split, number) for number in numbers]
    labels, aus = scores[0].labels, tuple(scores[0].aus.tolist())
    subjects = metrics.subject_numbers(scores[0].subject, len(labels))
    logits = np.stack([of_epoch.logits for of_epoch in scores])
    candidate = Candidate(run, stage, "center", tuple(numbers), aus, logits)

    def f1_on_others(rows: np.ndarray, epoch_rule: str, threshold_rule: str) -> float:
        chosen = choose.choose(
            [candidate.rows(rows)],
            labels[rows],
            aus,
            epoch_rule=epoch_rule,
            threshold_rule=threshold_rule,
            score="f1",
            subjects=subjects[rows],
        )
        told = choose.member_logits(chosen, [candidate.rows(~rows)])
        decisions = metrics.decide(selection.apply(chosen, told), chosen.thresholds)
        return float(metrics.mean_defined(metrics.f1(metrics.confusion(decisions, labels[~rows]))))

    rules = [(rule, "default") for rule in EPOCH_RULES]
    rules += [("last", rule) for rule in THRESHOLD_RULES if rule != "default"]
    for count in PEOPLE:
        found: dict[tuple[str, str], list[float]] = {rule: [] for rule in rules}
        for draw in range(DRAWS):
            people = np.random.default_rng(draw).permutation(subjects.max() + 1)[:count]
            rows = np.isin(subjects, people)
            for rule in rules:
                found[rule].append(f1_on_others(rows, *rule))
        print(f"{count} people; last epoch, threshold 0.5: {np.mean(found[PLAIN]):.4f}")
        for rule in rules[1:]:
            less = np.subtract(found[rule], found[PLAIN])
            error = 2 * less.std(ddof=1) / np.sqrt(DRAWS)
            print(f"  {' / '.join(rule)}: {less.mean():+.4f} ± {error:.4f} ({(less > 0).sum()})")


if __name__ == "__main__":
    main(*sys.argv[1:])
