"""Weights, imported or of another stage, reach every backbone of a method's network."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import make_context

from au_jax import methods, models, sharding, starter
from au_jax.errors import UserError
from au_jax.methods import StreamFacts
from au_jax.models import iresnet
from au_jax.models.network_spec import NetworkSpec
from au_jax.run_dir import RunFolder
from au_jax.training import start, weights_file
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.model_card import ModelCard
from au_jax.training.start import KeptEpoch

AUS = ("AU01", "AU12")
MULTI_VIEW = {"lambda_mv": 1.0, "lambda_cr": 1.0}
RECOT = {
    "selective_ratios": (0.3, 0.3),
    "views": 2,
    "lambda_n": 0.7,
    "lambda_cons": 2.0,
    "alpha": 1.0,
    "beta": 0.1,
    "gamma": 0.9,
    "mu": 0.3,
    "phi": 0.9,
    "refine_after": 1 / 3,
}
METHODS = {
    "multi_task": {},
    "multi_view": {},
    "mlcr": {"selective_ratios": (0.3, 0.3), **MULTI_VIEW},
}
PRETRAININGS = {"emoco": {"queue": 4}, "moco": {"queue": 4}, "face_identity": {}}


def backbones(tree):
    """Every subtree called "backbone", from the outermost names down."""
    for name, part in tree.items():
        if name == "backbone":
            yield part
        elif isinstance(part, dict):
            yield from backbones(part)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("backbone", "pixels"), [("tiny", 32), ("alexnet", 64)])
def test_weights_reach_every_backbone(method, backbone, pixels, monkeypatch):
    context = make_context(
        AUS,
        network={"backbone": backbone},
        augmentation={"image_size": pixels},
        streams=("opt",) if method == "multi_task" else ("clean", "noisy"),
    )
    init = methods.create(method, context, METHODS[method]).init
    shapes = jax.eval_shape(init, jax.random.PRNGKey(0))[:2]
    params, batch_stats = jax.tree.map(lambda s: np.broadcast_to(np.float32(0), s.shape), shapes)

    def convert(state, name, *trees_and_file):
        *trees, file = trees_and_file
        assert (list(state), name, file) == (["conv1.weight"], backbone, "net.pth")
        return jax.tree.map(lambda a: a + 1, tuple(trees))

    monkeypatch.setattr(start.pretrained, "read", lambda path: {"conv1.weight": np.zeros(1)})
    monkeypatch.setattr(start.pretrained, "convert", convert)
    imported = start.import_weights(Path("net.pth"), backbone, params, batch_stats)
    assert jax.tree.structure(imported) == jax.tree.structure((params, batch_stats))
    changed = [leaf for tree in imported for leaf in jax.tree.leaves(tree) if leaf.all()]
    inside = [
        leaf for tree in imported for part in backbones(tree) for leaf in jax.tree.leaves(part)
    ]
    assert len(list(backbones(imported[0]))) == (1 if method == "multi_task" else 2)
    assert bool(jax.tree.leaves(imported[1])) == (backbone == "tiny")
    assert {id(leaf) for leaf in changed} == {id(leaf) for leaf in inside}


# ---- Starting from another stage ----


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("pretrain", KeptEpoch("pretrain")),
        ("pretrain@20", KeptEpoch("pretrain", epoch=20)),
        ("runs/emoco:pretrain", KeptEpoch("pretrain", "runs/emoco")),
        ("/a:b/emoco@2:pretrain.1@3", KeptEpoch("pretrain.1", "/a:b/emoco@2", 3)),
    ],
)
def test_kept_epochs_by_hand(text, kept):
    assert KeptEpoch.parse(text) == kept
    assert str(kept) == text


@pytest.mark.parametrize("text", ["", "a@", "a@x", "a@-1", ":a", "runs/a", "run:", "run:a/b", "@3"])
def test_what_names_no_training_is_refused(text):
    with pytest.raises(UserError, match=rf"start '{text}' names no training; write \[RUN:\]STAGE"):
        KeptEpoch.parse(text)


def test_stages_of_the_same_run_alone_are_renamed():
    def renamed(text):
        return str(KeptEpoch.parse(text).renamed(lambda stage: f"{stage}.fold1"))

    assert renamed("pretrain@2") == "pretrain.fold1@2"
    assert renamed("run:pretrain@2") == "run:pretrain@2"


def random_variables(method, seed):
    """Random variables of a method: (params, batch_stats), numpy arrays."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(method.init, jax.random.PRNGKey(0))[:2]
    return jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)


def make_method(name, backbone="tiny", **fields):
    """A method's card, and it; `fields` are of its backbone."""
    pretrains = name in PRETRAININGS
    facts = StreamFacts(
        16, 8, positives=(1.0, 1.0), negatives=(1.0, 1.0), emotions=(2,) * 8, identities=4
    )
    streams = ("faces",) if pretrains or name == "multi_task" else ("clean", "noisy")
    context = make_context(
        () if pretrains else AUS,
        network={"backbone": backbone, "fields": fields},
        streams=dict.fromkeys(streams, facts),
    )
    options = {**PRETRAININGS, **METHODS, "recot": RECOT}[name]
    card = ModelCard(name, options, context, "wide", 40, "synthetic_faces")
    return card, card.create()


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A run whose stage `emoco` kept random networks of two epochs: (run, {epoch: network})."""
    run = RunFolder(tmp_path_factory.mktemp("pretrained"))
    return run, {epoch: keep(run.stage("emoco"), "emoco", epoch) for epoch in (2, 5)}


def keep(folder, name, epoch, backbone="tiny", done=True, **fields):
    """Keeps a random network as an epoch of a stage; returns it."""
    card, method = make_method(name, backbone, **fields)
    last = dataclasses.replace(card.context, epochs=epoch)
    dataclasses.replace(card, context=last).write(folder)
    kept = method.kept(*random_variables(method, seed=epoch), {})
    with Checkpoints.of_models(folder.model) as checkpoints:
        checkpoints.save(epoch, kept)
        checkpoints.wait()
    if done:
        folder.mark_done()
    return kept["params"], kept["batch_stats"]


def starting(text, of_stage, aus=()):
    mesh = sharding.make_mesh(1)
    model, network = {"weights": "", "backbone": "tiny"}, NetworkSpec("tiny")
    return start.starting_weights(text, model, network, of_stage, mesh, aus)


def assert_equal(given, expected):
    jax.tree.map(np.testing.assert_array_equal, given, expected)


@pytest.mark.parametrize(("name", "count"), [("multi_task", 1), ("mlcr", 2), ("recot", 2)])
def test_a_pretrained_backbone_reaches_every_network(pretrained, name, count):
    run, kept = pretrained
    params, batch_stats = random_variables(make_method(name)[1], seed=9)
    before = jax.tree.map(np.copy, (params, batch_stats))
    started = starting("emoco", run.stage)(params, batch_stats)
    assert_equal((params, batch_stats), before)
    assert jax.tree.structure(started) == jax.tree.structure(before)
    for tree, of_kept, given in zip(started, kept[5], before, strict=True):
        taken = list(backbones(tree))
        assert len(taken) == count
        for backbone in taken:
            assert_equal(backbone, of_kept["encoder"]["net"]["backbone"])
        # All the rest is as it was initialised.
        of_given = jax.tree_util.tree_leaves_with_path(given)
        for (path, leaf), original in zip(
            jax.tree_util.tree_leaves_with_path(tree), of_given, strict=True
        ):
            if not any(step.key == "backbone" for step in path):
                np.testing.assert_array_equal(leaf, original[1])


def test_an_earlier_epoch_has_other_weights(pretrained):
    run, kept = pretrained
    given = random_variables(make_method("multi_task")[1], seed=9)
    for text, epoch in (("emoco@2", 2), ("emoco@5", 5), ("emoco", 5)):
        params, batch_stats = starting(text, run.stage)(*given)
        assert_equal(params["backbone"], kept[epoch][0]["encoder"]["net"]["backbone"])
        assert_equal(batch_stats["backbone"], kept[epoch][1]["encoder"]["net"]["backbone"])
    kernels = [kept[epoch][0]["encoder"]["output"]["kernel"] for epoch in (2, 5)]
    assert (kernels[0] != kernels[1]).all()


def test_the_same_method_goes_on_with_all_its_weights(pretrained):
    run, kept = pretrained
    assert_equal(
        starting("emoco", run.stage)(*random_variables(make_method("emoco")[1], 9)), kept[5]
    )


def test_a_stage_of_another_run(pretrained):
    run, kept = pretrained

    def of_stage(name):
        raise AssertionError(f"{name} is of another run")

    given = random_variables(make_method("multi_task")[1], seed=9)
    params, _ = starting(f"{run.path}:emoco@2", of_stage)(*given)
    assert_equal(params["backbone"], kept[2][0]["encoder"]["net"]["backbone"])


def test_an_exported_file_is_started_from_as_its_stage_is(pretrained, tmp_path):
    run, kept = pretrained
    stage = run.stage("emoco")
    params, batch_stats = kept[2]
    file = tmp_path / "networks" / "emoco@2.safetensors"
    ModelCard.read(stage).to_file(file.with_suffix(".json"))
    weights_file.write(file, {"params": params, "batch_stats": batch_stats})
    for method in ("multi_task", "emoco"):
        given = random_variables(make_method(method)[1], seed=9)
        assert_equal(starting(str(file), None)(*given), starting("emoco@2", run.stage)(*given))
    file.with_suffix(".json").unlink()
    with pytest.raises(UserError, match=r"emoco@2\.json"):
        starting(str(file), None)(*given)


@pytest.mark.parametrize("aus", [(AUS[1], "AU43", AUS[0]), ("AU43", AUS[0]), AUS])
def test_outputs_of_a_file_start_those_for_the_same_aus(aus, tmp_path, capsys):
    card, method = make_method("multi_task")
    theirs, their_stats = random_variables(method, seed=1)
    file = tmp_path / "large@1.safetensors"
    card.to_file(file.with_suffix(".json"))
    weights_file.write(file, {"params": theirs, "batch_stats": their_stats})
    counts = (1.0,) * len(aus)
    facts = dataclasses.replace(card.context.streams["faces"], positives=counts, negatives=counts)
    streams = {"opt": facts, "noisy": dataclasses.replace(facts, head="noisy")}
    context = dataclasses.replace(card.context, aus=aus, streams=streams)
    params, batch_stats = random_variables(
        dataclasses.replace(card, context=context).create(), seed=9
    )
    started, _ = starting(str(file), None, aus)(params, batch_stats)
    assert_equal(started["backbone"], theirs["backbone"])
    for head in ("head_opt", "head_noisy"):
        for column, au in enumerate(aus):
            for part in ("kernel", "bias"):
                known = au in AUS
                tree, at = (theirs["head_opt"], AUS.index(au)) if known else (params[head], column)
                np.testing.assert_array_equal(started[head][part][..., column], tree[part][..., at])
    said = ", ".join(au for au in aus if au in AUS)
    assert f"from large@1.safetensors: the backbone, and the outputs for {said}\n" in (
        capsys.readouterr().out
    )
    # Labels of none of its AUs: the backbone alone.
    started, _ = starting(str(file), None, ("AU43",) * len(aus))(params, batch_stats)
    assert_equal(started["head_opt"], params["head_opt"])


def test_of_several_outputs_of_a_file_those_that_predict_start_ours(tmp_path):
    card, _ = make_method("multi_task")
    facts = card.context.streams["faces"]
    streams = {"opt": facts, "noisy": dataclasses.replace(facts, head="noisy")}
    context = dataclasses.replace(card.context, streams=streams)
    options = {**card.options, "predict_head": "noisy"}
    both = dataclasses.replace(card, context=context, options=options)
    theirs, their_stats = random_variables(both.create(), seed=1)
    file = tmp_path / "net.safetensors"
    both.to_file(file.with_suffix(".json"))
    weights_file.write(file, {"params": theirs, "batch_stats": their_stats})
    ours = random_variables(card.create(), seed=9)
    started, _ = starting(str(file), None, AUS)(*ours)
    assert_equal(started["head_opt"], theirs["head_noisy"])


def test_outputs_for_other_aus_or_in_another_order_are_not_taken_over(tmp_path):
    run = RunFolder(tmp_path)
    theirs, _ = keep(run.stage("a"), "multi_task", 1)
    ours = random_variables(make_method("multi_task")[1], seed=9)
    for aus, head in ((AUS, theirs), (AUS[::-1], ours[0]), (("AU43", "AU45"), ours[0])):
        params, _ = starting("a", run.stage, aus)(*ours)
        assert_equal(params["backbone"], theirs["backbone"])
        assert_equal(params["head_opt"], head["head_opt"])


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ({"fields": {"padding": "torch"}}, "padding same, and here that is torch; give --config"),
        ({"fields": {"bn_epsilon": 1e-5}}, r"0\.001, .* 1e-05; give --config\.model\.bn_epsilon=0"),
        (
            {"image_mean": (0.0, 0.0, 0.0)},
            r"0\.5,0\.5,0\.5, .* 0\.0,0.*image_mean=0\.5,0\.5,0\.5$",
        ),
    ],
)
def test_a_start_under_other_conventions_is_refused(network, sentence, tmp_path):
    """The same weights would mean something else."""
    theirs = {"fields": {"padding": "same", "bn_epsilon": 1e-3}, "image_mean": (0.5,) * 3}
    card, method = make_method("multi_task")
    spec = NetworkSpec("tiny", **theirs)
    file = tmp_path / "net.safetensors"
    context = dataclasses.replace(card.context, network=spec)
    dataclasses.replace(card, context=context).to_file(file.with_suffix(".json"))
    variables = random_variables(method, seed=1)
    weights_file.write(file, dict(zip(("params", "batch_stats"), variables, strict=True)))
    model = {"weights": "", "backbone": "tiny"}
    other = dataclasses.replace(spec, **network)
    begin = start.starting_weights(str(file), model, other, None, None, AUS)
    with pytest.raises(
        UserError, match=f"cannot be started from: it was trained with .*{sentence}"
    ):
        begin(*variables)
    begin = start.starting_weights(str(file), model, spec, None, None, AUS)
    assert_equal(begin(*variables)[0], variables[0])


def test_a_file_and_the_starter_keep_their_names_when_stages_are_renamed():
    for text in ("", "starter", "exported/networks/a@2.safetensors"):
        assert start.renamed(text, lambda stage: f"{stage}.fold1") == text
    assert start.renamed("a@2", lambda stage: f"{stage}.fold1") == "a.fold1@2"
    assert start.exported_file("starter") == starter.NETWORK


def test_nothing_to_start_from_is_no_start():
    assert starting("", None) is None


def test_what_cannot_be_started_from_is_refused(pretrained, tmp_path):
    run, _ = pretrained
    given = random_variables(make_method("multi_task")[1], seed=9)
    with pytest.raises(
        UserError, match=r"start '.*:other': .*/other is no finished stage; run its"
    ):
        starting(f"{run.path}:other", run.stage)
    other = RunFolder(tmp_path)
    keep(other.stage("unfinished"), "moco", 1, done=False)
    with pytest.raises(UserError, match=r"unfinished is no finished stage; run its recipe first"):
        starting(f"{tmp_path}:unfinished@1", run.stage)
    with pytest.raises(UserError, match=r"has no checkpoint of epoch 3 \(kept: 2, 5\)"):
        starting("emoco@3", run.stage)(*given)
    keep(other.stage("wide"), "moco", 1, "tiny_wide")
    with pytest.raises(
        UserError,
        match=r"stage wide cannot be started from: its 'batch_stats/.*' is \(8,\), and here it is "
        r"\(6,\); give both one backbone",
    ):
        starting("wide", other.stage)(*given)
    keep(other.stage("three"), "mlcr", 1)
    with pytest.raises(
        UserError, match=r"it has 2 backbones, and here there are 1; start from a s"
    ):
        starting("three", other.stage)(*given)


def test_two_backbones_reach_two_each_its_own(tmp_path):
    run = RunFolder(tmp_path)
    theirs, _ = keep(run.stage("pair"), "mlcr", 1)
    params, batch_stats = random_variables(make_method("recot")[1], seed=9)
    started, _ = starting("pair", run.stage)(params, batch_stats)
    first, second = backbones(theirs)
    assert (first["conv1"]["conv"]["kernel"] != second["conv1"]["conv"]["kernel"]).all()
    for taken, expected in zip(backbones(started), (first, second), strict=True):
        assert_equal(taken, expected)


# ---- Starting a network that has more parts ----

PYRAMID, ATTENTION = "pyramid_embedding", ["attention1", "attention4"]
PARTS = {"coordinate_attention": True, "pyramid": True}


@pytest.fixture(scope="module")
def identity_run(tmp_path_factory):
    """A run whose stage `identity` kept a plain IResNet of four blocks: (run, network)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(iresnet.DEPTHS, 4, (1, 1, 1, 1))
        patch.setitem(models.BACKBONES, "iresnet_short", (iresnet.IResNet, {"depth": 4}))
        run = RunFolder(tmp_path_factory.mktemp("identity"))
        yield run, keep(run.stage("identity"), "face_identity", 1, "iresnet_short")


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        (PARTS, [*ATTENTION, PYRAMID]),
        ({"pyramid": True}, [PYRAMID]),
        ({"coordinate_attention": True}, ATTENTION),
        ({}, []),
    ],
)
def test_a_plain_iresnet_starts_one_with_more_parts(identity_run, fields, added, capsys):
    run, kept = identity_run
    given = random_variables(make_method("multi_task", "iresnet_short", **fields)[1], seed=9)
    started = starting("identity", run.stage)(*given)
    assert jax.tree.structure(started) == jax.tree.structure(given)
    for collection, theirs, ours in zip(started, kept, given, strict=True):
        for module, leaves in collection["backbone"].items():
            source = ours if module in added else theirs["net"]
            assert_equal(leaves, source["backbone"][module])
    assert ("embedding" in started[0]["backbone"]) == (PYRAMID not in added)
    assert_equal(started[0]["head_opt"], given[0]["head_opt"])
    said = capsys.readouterr().out
    assert said.count("initialised anew") == bool(added)
    if added:
        assert f"not in stage identity, so initialised anew: {', '.join(added)}\n" in said


def test_other_differences_are_refused_with_more_parts(identity_run, tmp_path):
    run, _ = identity_run
    deeper = random_variables(make_method("multi_task", "iresnet18", **PARTS)[1], seed=9)
    with pytest.raises(UserError, match=r"its 'batch_stats/stage1_block2/.*' is absent, and here"):
        starting("identity", run.stage)(*deeper)
    other = RunFolder(tmp_path)
    keep(other.stage("pyramid"), "face_identity", 1, "iresnet_short", pyramid=True)
    plain = random_variables(make_method("multi_task", "iresnet_short")[1], seed=9)
    with pytest.raises(UserError, match=r"its 'batch_stats/embedding/.*' is absent, and here it"):
        starting("pyramid", other.stage)(*plain)


def test_weights_may_be_asked_for_or_declined():
    def starting(weights):
        model = {"weights": weights, "backbone": "resnet34"}
        return start.starting_weights("", model, NetworkSpec("resnet34"), None, None)

    with pytest.raises(
        UserError, match=r"resnet34 starts from ImageNet weights; give --config\.mod"
    ):
        starting("ask")
    assert starting("") is None
    assert starting("none") is None
    assert starting("w/{backbone}.pth").args == (Path("w/resnet34.pth"), "resnet34")


def test_a_card_of_an_older_version_is_read_with_the_names_of_today(tmp_path):
    for method, old, new in (
        ("recot", "noisy_weight", "lambda_n"),
        ("mlcr", "multi_view_weight", "lambda_mv"),
    ):
        context = make_context(AUS, streams=("clean", "noisy"))
        options = {old: 0.5, "selective_ratios": (0.3, 0.3)}
        ModelCard(method, options, context, "closeup", 40, "x").to_file(tmp_path / "card.json")
        card = ModelCard.from_file(tmp_path / "card.json")
        assert set(card.options) == {new, "selective_ratios"}
        assert card.create().aus == AUS
