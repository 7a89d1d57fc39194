"""The linear_probe stage: its fit against scikit-learn's own, what it keeps, what it refuses."""

import dataclasses

import jax
import numpy as np
import pytest
from encoding import all_images, encode, make_context, with_table
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from au_jax import aus
from au_jax.errors import UserError
from au_jax.losses import damped_class_weights
from au_jax.stages.linear_probe import LinearProbe
from au_jax.training.model_card import ModelCard, restore

AUS = ("AU12", "AU25", "AU06")
PROBE = LinearProbe("encode", "opt-train", ("opt-val", "test"), aus=AUS, penalty=0.02)


@pytest.fixture(scope="module")
def encoded(tiny_faces, tmp_path_factory):
    """The folder of a run with an encode stage."""
    path = tmp_path_factory.mktemp("run")
    encode(tiny_faces, path, "opt-train", "opt-val", "test")
    return path


def probe(tiny_faces, path, name, change=lambda source: source, **fields):
    """Runs a probe as the stage `name`; returns its context."""
    context = make_context(tiny_faces, path, name, change=change)
    dataclasses.replace(PROBE, **fields).run(context)
    return context


def kept(context):
    """(kernel, bias) of the kept probes, by way of the card as any reader takes."""
    method = ModelCard.read(context.folder).create()
    head = jax.device_get(restore(context.folder, method, 1, context.mesh))["params"]["head_opt"]
    return head["kernel"], head["bias"]


def by_scikit_learn(features, labels, penalty, damping, iterations=2000):
    """Decision function of the probe of one AU, labels 0 and 1 alone."""
    machine = LogisticRegression(C=1 / (penalty * len(labels)), max_iter=iterations)
    counts = np.array([(labels == 1).sum()]), np.array([(labels == 0).sum()])
    weights = damped_class_weights(*counts, damping)[0]
    machine.fit(features, labels, sample_weight=weights[labels])
    return machine.decision_function


def test_the_fit_is_scikit_learns_on_standardised_features():
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(80, 5)) * [1, 10, 0.1, 3, 1] + [0, 50, 1, -9, 2]).astype(
        np.float32
    )
    noise = rng.normal(size=80)
    labels = np.stack(
        [features[:, 0] + noise > 0.3, features[:, 1] + 8 * noise > 55, noise > 9], 1
    ).astype(np.int8)
    labels[rng.random(labels.shape) < 0.2] = -1
    labels[:4] = -1  # not known of any AU, so that their features do not count
    features[:4] = 1e3
    labels[4:9, 2] = -1
    kernel, bias = dataclasses.replace(PROBE, damping=0.7, iterations=2000)._fit(features, labels)
    assert kernel.dtype == bias.dtype == np.float32
    usable = (labels >= 0).any(1)
    scaler = StandardScaler().fit(features[usable])
    for column in (0, 1):
        of_au = labels[:, column]
        known = of_au >= 0
        standardised = scaler.transform(features[known].astype(np.float64))
        decide = by_scikit_learn(standardised, of_au[known], 0.02, 0.7)
        ours = features[4:] @ kernel[:, column] + bias[column]
        theirs = decide(scaler.transform(features[4:].astype(np.float64)))
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
        assert np.ptp(theirs) > 1
    # One class alone: no weights, and the log odds of (0 + 1/2) to (n + 1/2).
    absent = (labels[:, 2] == 0).sum()
    assert not (labels[:, 2] == 1).any()
    assert not kernel[:, 2].any()
    np.testing.assert_allclose(bias[2], np.log(0.5 / (absent + 0.5)), rtol=1e-6)


def test_penalty_and_damping_have_their_effect():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 3)).astype(np.float32)
    labels = (features[:, :1] + rng.normal(size=(60, 1)) > 0.9).astype(np.int8)
    (kernel, bias), (shrunk, _), (_, balanced) = (
        dataclasses.replace(PROBE, **fields)._fit(features, labels)
        for fields in ({"damping": 0.0}, {"damping": 0.0, "penalty": 10.0}, {"damping": 1.0})
    )
    assert np.abs(shrunk).max() < np.abs(kernel).max() / 5
    assert balanced[0] > bias[0] + 0.5, "the rarer class, presence, weighs more"


def test_scores_are_the_probes_of_the_features_and_the_kept_networks_of_the_images(
    tiny_faces, encoded
):
    context = probe(tiny_faces, encoded, "probe")
    kernel, bias = kept(context)
    features = {s: context.input("encode").read_features(s) for s in ("opt-val", "test")}
    card = ModelCard.read(context.folder)
    assert card.aus == AUS
    assert (card.crop, card.crop_size, card.image_size) == ("wide", 40, 32)
    method = card.create()
    variables = restore(context.folder, method, 1, context.mesh)
    for split, of_split in features.items():
        scores = context.folder.read_scores(split, 1)
        assert scores.logits.dtype == np.float32
        np.testing.assert_allclose(scores.logits, of_split.features @ kernel + bias, atol=1e-5)
        source = context.source(split, "wide")
        logits = jax.jit(method.predict)(variables, all_images(source), source.table.pose)
        np.testing.assert_allclose(scores.logits, logits, atol=1e-4)
        assert np.ptp(logits, 0).max() > 0.1
        np.testing.assert_array_equal(scores.keys, source.table.keys)
        np.testing.assert_array_equal(scores.labels, source.aligned(AUS).table.labels)
    assert tuple(scores.aus) == AUS
    # A fit of the labels of its own split and of no other.
    learned = context.input("encode").read_features("opt-train")
    labels = aus.align(learned.labels, learned.aus.tolist(), AUS)
    again = PROBE._fit(learned.features, labels)
    np.testing.assert_array_equal(again[0], kernel)
    np.testing.assert_array_equal(again[1], bias)


def test_a_second_run_ends_alike(tiny_faces, encoded):
    first = kept(probe(tiny_faces, encoded, "twice"))
    context = probe(tiny_faces, encoded, "twice")
    for again, once in zip(kept(context), first, strict=True):
        np.testing.assert_array_equal(again, once)
    assert context.folder.epochs() == [1]


def test_a_share_learns_from_its_own_faces_alone(tiny_faces, encoded):
    context = probe(tiny_faces, encoded, "share", split="opt-train%40")
    part = context.source("opt-train%40", "wide").table
    whole = context.input("encode").read_features("opt-train")
    assert 0 < len(part.keys) < len(whole.keys)
    rows = np.flatnonzero(np.isin(whole.keys, part.keys))
    assert set(whole.subject[rows]).isdisjoint(np.delete(whole.subject, rows))
    labels = aus.align(whole.labels[rows], whole.aus.tolist(), AUS)
    kernel, bias = PROBE._fit(whole.features[rows], labels)
    of_share = kept(context)
    np.testing.assert_allclose(of_share[0], kernel, atol=1e-5)
    np.testing.assert_allclose(of_share[1], bias, atol=1e-5)
    assert np.abs(of_share[0] - kept(probe(tiny_faces, encoded, "all"))[0]).max() > 1e-3
    facts = ModelCard.read(context.folder).context.streams["labelled"]
    assert facts.positives == tuple((labels == 1).sum(0))
    assert facts.records == len(rows)


def test_faces_that_were_not_found_teach_nothing_and_show_nothing(tiny_faces, tmp_path):
    def faceless(source):
        return with_table(source, face=np.arange(len(source)) % 3 != 1)

    encode(tiny_faces, tmp_path, "opt-train", "opt-val", "test", change=faceless)
    context = probe(tiny_faces, tmp_path, "probe")
    learned = context.input("encode").read_features("opt-train")
    labels = aus.align(learned.labels, learned.aus.tolist(), AUS)[learned.face]
    kernel, _ = PROBE._fit(learned.features[learned.face], labels)
    np.testing.assert_allclose(kept(context)[0], kernel, atol=1e-5)
    logits = context.folder.read_scores("test", 1).logits
    assert (logits[1::3] == -30).all()
    assert (np.delete(logits, np.s_[1::3], 0) > -20).all()


def test_groups_of_aus(tiny_faces, encoded):
    context = probe(tiny_faces, encoded, "pose", aus=(), group="pose")
    assert ModelCard.read(context.folder).aus == aus.POSE


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"split": "noisy"}, r"stage encode kept no features of 'noisy'; add it to that stage's"),
        ({"split": "opt%50"}, r"stage encode kept no features of 'opt'; add"),
        ({"validate": ("opt-val", "noisy")}, r"stage encode kept no features of 'noisy'; add"),
        ({"aus": ("AU14",)}, r"split opt-train of stage refused has no face with a label of AU14"),
        ({"aus": ("AU99",)}, r"unknown AU 'AU99'"),
    ],
)
def test_what_is_refused(tiny_faces, encoded, fields, sentence):
    with pytest.raises(UserError, match=sentence):
        probe(tiny_faces, encoded, "refused", **fields)


def test_the_encode_stage_is_renamed():
    assert PROBE.renamed(lambda name: f"{name}.seed1").features == "encode.seed1"
