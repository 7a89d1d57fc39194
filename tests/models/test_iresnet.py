"""IResNet, its necks and its attention against PyTorch's; its parameters, import and fields."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torch
import torch_networks
from flax.traverse_util import flatten_dict, unflatten_dict
from random_weights import random_variables, shapes

from au_jax import models
from au_jax.errors import UserError
from au_jax.export.pytorch.networks import iresnet
from au_jax.models import pretrained
from au_jax.models.coordinate_attention import CoordinateAttention
from au_jax.models.face_pyramid import ContextModule, FeaturePyramid
from au_jax.models.iresnet import DEPTHS, FixedScaleNorm, IResNetBlock
from au_jax.models.layers import Style
from au_jax.models.network_spec import NetworkSpec, conventions
from au_jax.training.start import import_weights

SIZE = 40  # pixels, whose maps of 20, 10, 5 and 3 do not all halve evenly
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(2, SIZE, SIZE, 3)), jnp.float32)
TORCH_STYLE = Style(padding="torch")
PARTS = {"coordinate_attention": True, "pyramid": True}

PYRAMID = {
    **{(f"lateral{n}",): f"output{n}" for n in (1, 2, 3)},
    **{(f"merge{n}",): f"merge{n}" for n in (1, 2)},
}
CONTEXT = {
    ("near",): "conv3X3",
    ("shared",): "conv5X5_1",
    ("wide",): "conv5X5_2",
    ("widest1",): "conv7X7_2",
    ("widest2",): "conv7x7_3",
}
ATTENTION = {
    ("reduce",): "conv1",
    ("norm",): "bn1",
    ("rows",): "conv_h",
    ("columns",): "conv_w",
}
BLOCK = {
    ("norm",): "bn1",
    ("conv1", "conv"): "conv1",
    ("conv1", "norm"): "bn2",
    ("prelu",): "prelu",
    ("conv2", "conv"): "conv2",
    ("conv2", "norm"): "bn3",
    ("shortcut", "conv"): "downsample.0",
    ("shortcut", "norm"): "downsample.1",
}
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "slope": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def pairs(names):
    """{path of a convolution with its BatchNorm: name of a pair} by single modules."""
    return {
        (*path, part): f"{theirs}.{number}"
        for path, theirs in names.items()
        for number, part in enumerate(("conv", "norm"))
    }


def below(path, theirs, names):
    return {(path, *inner): f"{theirs}.{name}" for inner, name in names.items()}


def filled(variables, names, state):
    """The variables with the arrays of a PyTorch network, whose every array is used."""
    used, arrays = set(), {}
    for (kind, *path, leaf), old in flatten_dict(variables).items():
        name = f"{names[tuple(path)]}.{LEAVES[leaf]}"
        array = state[name].numpy()
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
            array = array[0, 0] if len(old.shape) == 2 else array
        elif array.ndim == 2:
            array = array.T
        assert array.shape == old.shape, name
        arrays[(kind, *path, leaf)] = jnp.asarray(array)
        used.add(name)
    assert used == {name for name in state if "num_batches" not in name}
    return unflatten_dict(arrays)


def to_torch(x):
    return torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)


def from_torch(x):
    return x.detach().permute(0, 2, 3, 1).numpy()


def features(*sizes):
    rng = np.random.default_rng(1)
    return [jnp.asarray(rng.normal(size=size), jnp.float32) for size in sizes]


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize(("inputs", "stride"), [(8, 1), (8, 2), (6, 2)])
def test_block_and_its_gradients_equal_pytorchs(inputs, stride):
    (images,) = features((2, 7, 7, inputs))
    network = torch_networks.randomise(iresnet.IResNetBlock(inputs, 8, stride))
    block = IResNetBlock(8, stride, TORCH_STYLE)
    variables = filled(shapes(block, images, False), BLOCK, network.state_dict())
    given = to_torch(images).requires_grad_()
    theirs = network(given)
    theirs.square().sum().backward()

    def loss(params, images):
        out = block.apply({**variables, "params": params}, images, False)
        return jnp.square(out).sum(), out

    (_, ours), (by_params, by_images) = jax.jit(
        jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    )(variables["params"], images)
    assert_close(ours, from_torch(theirs))
    assert_close(by_images, from_torch(given.grad))
    gradients = {
        name: parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        for name, parameter in network.named_parameters()
    }
    for path, gradient in flatten_dict(by_params).items():
        expected = gradients[f"{BLOCK[path[:-1]]}.{LEAVES[path[-1]]}"].numpy()
        assert_close(gradient, expected.transpose(2, 3, 1, 0) if expected.ndim == 4 else expected)


@pytest.mark.parametrize("width", [16, 72], ids=["leaky", "relu"])
def test_pyramid_equals_retinafaces(width):
    maps = features((2, 9, 8, 6), (2, 5, 4, 10), (2, 3, 2, 12))
    network = torch_networks.randomise(iresnet.FeaturePyramid((6, 10, 12), width))
    pyramid = FeaturePyramid(width, TORCH_STYLE)
    variables = filled(shapes(pyramid, maps, False), pairs(PYRAMID), network.state_dict())
    ours = jax.jit(lambda v: pyramid.apply(v, maps, False))(variables)
    with torch.inference_mode():
        theirs = network([to_torch(x) for x in maps])
    for level, expected in zip(ours, theirs, strict=True):
        assert_close(level, from_torch(expected))


@pytest.mark.parametrize("width", [16, 72], ids=["leaky", "relu"])
def test_context_module_equals_retinafaces(width):
    (images,) = features((2, 5, 4, 6))
    network = torch_networks.randomise(iresnet.ContextModule(6, width))
    module = ContextModule(width, TORCH_STYLE)
    variables = filled(shapes(module, images, False), pairs(CONTEXT), network.state_dict())
    ours = jax.jit(lambda v: module.apply(v, images, False))(variables)
    with torch.inference_mode():
        assert_close(ours, from_torch(network(to_torch(images))))


@pytest.mark.parametrize("channels", [12, 320], ids=["8 units", "a 32nd"])
def test_coordinate_attention_equals_its_authors(channels):
    (images,) = features((2, 5, 3, channels))
    network = torch_networks.randomise(iresnet.CoordinateAttention(channels))
    module = CoordinateAttention(TORCH_STYLE)
    variables = filled(shapes(module, images, False), ATTENTION, network.state_dict())
    ours = jax.jit(lambda v: module.apply(v, images, False))(variables)
    with torch.inference_mode():
        assert_close(ours, from_torch(network(to_torch(images))))


def test_scale_of_the_last_norm_keeps_its_value():
    (x,) = features((6, 4))
    norm = FixedScaleNorm(Style())
    variables = random_variables(norm, x, False)
    gradient = jax.grad(lambda p: norm.apply({**variables, "params": p}, x, False).sum())(
        variables["params"]
    )
    np.testing.assert_array_equal(gradient["scale"], 0)
    np.testing.assert_array_equal(gradient["bias"], 6)


@pytest.fixture(scope="module")
def plain():
    """insightface's IResNet-18 for these images, and its features of them."""
    network = torch_networks.randomise(iresnet.IResNet(DEPTHS[18], SIZE))
    with torch.inference_mode():
        return network.state_dict(), network(to_torch(IMAGES)).numpy()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_insightfaces_weights_give_the_same_features(suffix, plain, tmp_path):
    state, expected = plain
    path = tmp_path / f"backbone{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        safetensors.numpy.save_file({name: a.numpy() for name, a in state.items()}, path)
    settled = conventions("iresnet18", path, {})
    assert settled["image_mean"] == settled["image_std"] == (0.5, 0.5, 0.5)
    backbone = models.create("iresnet18", **settled["fields"])
    tree = shapes(backbone, IMAGES, False)
    params, batch_stats = pretrained.convert(
        pretrained.read(path), "iresnet18", tree["params"], tree["batch_stats"], str(path)
    )
    variables = {"params": params, "batch_stats": batch_stats}
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, tree)
    out = jax.jit(lambda v: backbone.apply(v, IMAGES, False))(variables)
    assert [m.shape[1:] for m in out.maps] == [
        (20, 20, 64),
        (10, 10, 128),
        (5, 5, 256),
        (3, 3, 512),
    ]
    assert out.pooled.dtype == jnp.float32
    assert_close(out.pooled, expected)


# The parts that no weights file has, and their names in the PyTorch network of the tests.
INITIALISED = ["attention1", "attention4", "pyramid_embedding"]
ADDED = ("attention1", "attention4", "pyramid")


def without_last_layers(arrays):
    return {n: a for n, a in arrays.items() if n.split(".")[0] not in ("bn2", "fc", "features")}


@pytest.mark.parametrize("cut", [dict, without_last_layers], ids=["whole", "cut"])
def test_weights_enter_the_shared_part_of_a_network_with_more(cut, plain):
    arrays = {name: a.numpy() for name, a in plain[0].items()}
    before = random_variables(models.create("iresnet18", **PARTS), IMAGES, False)
    params, batch_stats = pretrained.convert(
        cut(arrays), "iresnet18", before["params"], before["batch_stats"], "backbone.pth"
    )
    assert pretrained.initialised_parts("iresnet18", params) == INITIALISED
    for kind, tree in (("params", params), ("batch_stats", batch_stats)):
        assert tree.keys() == before[kind].keys()
        for part in INITIALISED:
            jax.tree.map(np.testing.assert_array_equal, before[kind][part], tree[part])
    kernel = params["stage3_block2"]["conv2"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel, arrays["layer3.1.conv2.weight"].transpose(2, 3, 1, 0))


@pytest.mark.parametrize("fields", [{}, PARTS])
def test_a_training_says_what_the_file_has_no_weights_for(fields, plain, tmp_path, capsys):
    torch.save(plain[0], tmp_path / "backbone.pth")
    backbone = random_variables(models.create("iresnet18", **fields), IMAGES, False)
    params, batch_stats = import_weights(
        tmp_path / "backbone.pth",
        "iresnet18",
        {"backbone": backbone["params"], "head_opt": {}},
        {"backbone": backbone["batch_stats"]},
    )
    stem = plain[0]["conv1.weight"].numpy().transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(params["backbone"]["stem"]["conv"]["kernel"], stem)
    assert batch_stats["backbone"].keys() == backbone["batch_stats"].keys()
    sentence = f"initialised anew: {', '.join(INITIALISED)}\n"
    assert capsys.readouterr().out.endswith(sentence) == bool(fields)


@pytest.mark.parametrize("context", [True, False])
def test_the_network_with_attention_and_pyramid_equals_pytorchs(context):
    network = torch_networks.randomise(iresnet.IResNet(DEPTHS[18], SIZE, **PARTS, context=context))
    state = network.state_dict()
    backbone = models.create("iresnet18", **PARTS, context=context)
    tree = shapes(backbone, IMAGES, False)
    in_file = {name: a for name, a in state.items() if name.split(".")[0] not in ADDED}
    params, batch_stats = pretrained.convert(
        {name: a.numpy() for name, a in in_file.items()},
        "iresnet18",
        tree["params"],
        tree["batch_stats"],
        "backbone.pth",
    )
    inner = below("pyramid", "fpn", pairs(PYRAMID)) | {("dense",): "fc"}
    for level in (1, 2, 3) if context else ():
        inner |= below(f"context{level}", f"ssh.{level - 1}", pairs(CONTEXT))
    names = {
        **below("attention1", "attention1", ATTENTION),
        **below("attention4", "attention4", ATTENTION),
        **below("pyramid_embedding", "pyramid", inner),
    }
    added = filled(
        {kind: {part: tree[kind][part] for part in INITIALISED} for kind in tree},
        names,
        {name: a for name, a in state.items() if name not in in_file},
    )
    variables = {
        "params": params | added["params"],
        "batch_stats": batch_stats | added["batch_stats"],
    }
    pooled = jax.jit(lambda v: backbone.apply(v, IMAGES, False).pooled)(variables)
    with torch.inference_mode():
        assert_close(pooled, network(to_torch(IMAGES)).numpy())


@pytest.mark.parametrize("fields", [{}, PARTS])
def test_every_other_array_must_have_its_place(fields, plain):
    arrays = {name: a.numpy() for name, a in plain[0].items()}
    tree = shapes(models.create("iresnet18", **fields), IMAGES, False)
    trees = tree["params"], tree["batch_stats"]
    more = {**arrays, "attention2.weight": np.zeros(3)}
    with pytest.raises(UserError, match=r"has arrays that iresnet18 lacks: attention2\.weight"):
        pretrained.convert(more, "iresnet18", *trees, "backbone.pth")
    lacking = {name: a for name, a in arrays.items() if name != "layer2.1.prelu.weight"}
    with pytest.raises(UserError, match=r"lacks arrays of iresnet18: layer2\.1\.prelu\.weight"):
        pretrained.convert(lacking, "iresnet18", *trees, "backbone.pth")


def test_the_plain_network_needs_the_last_layers_of_its_own_size(plain):
    arrays = {name: a.numpy() for name, a in plain[0].items()}
    tree = shapes(models.create("iresnet18"), np.zeros((1, 112, 112, 3)), False)
    trees = tree["params"], tree["batch_stats"]
    with pytest.raises(UserError, match=r"fc\.weight \(512, 4608\) instead of \(512, 25088\)"):
        pretrained.convert(arrays, "iresnet18", *trees, "backbone.pth")
    del arrays["fc.bias"]
    with pytest.raises(UserError, match=r"lacks arrays of iresnet18: fc\.bias"):
        pretrained.convert(arrays, "iresnet18", *trees, "backbone.pth")


@pytest.mark.parametrize(
    ("name", "fields", "parameters"),
    [
        ("iresnet18", {}, 24_025_600),
        ("iresnet34", {}, 34_139_328),
        ("iresnet50", {}, 43_590_848),
        ("iresnet100", {}, 65_156_160),
        ("iresnet100", {"coordinate_attention": True}, 65_183_496),
        ("iresnet100", {"pyramid": True}, 86_263_296),
        ("iresnet100", PARTS, 86_290_632),
        ("iresnet100", {"pyramid": True, "context": False}, 86_263_296 - 3 * 34_752),
    ],
)
def test_parameters_at_112_pixels(name, fields, parameters):
    network = models.create(name, **fields)
    params = shapes(network, jnp.zeros((1, 112, 112, 3)), False)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == parameters
    if "pyramid" in fields:
        assert params["pyramid_embedding"]["dense"]["kernel"].size == 33_718_272


@pytest.mark.parametrize("fields", [{}, PARTS])
def test_the_width_scales_every_layer_but_narrow_levels(fields):
    network = models.create("iresnet18", width=24, **fields)
    variables = shapes(network, IMAGES, False)
    out = jax.eval_shape(lambda v: network.apply(v, IMAGES, False), variables)
    assert [m.shape[-1] for m in out.maps] == [24, 48, 96, 192]
    assert out.pooled.shape == (len(IMAGES), 192)
    if fields:
        levels = variables["params"]["pyramid_embedding"]["pyramid"]
        assert levels["lateral3"]["conv"]["kernel"].shape == (1, 1, 192, 64)


@pytest.mark.parametrize("fields", [{}, PARTS])
def test_bfloat16_keeps_parameters_and_features_float32(fields):
    network = models.create("iresnet18", dtype=jnp.bfloat16, **fields)
    variables = shapes(network, IMAGES, False)
    out, updated = jax.eval_shape(
        lambda v: network.apply(v, IMAGES, True, mutable=["batch_stats"]), variables
    )
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, updated))} == {np.dtype("float32")}
    assert {m.dtype for m in out.maps} == {np.dtype(jnp.bfloat16)}
    assert out.pooled.dtype == jnp.float32


@pytest.mark.parametrize("pyramid", [False, True])
def test_dropout_drops_in_training_only(pyramid):
    network = models.create("iresnet10", width=8, dropout=0.6, pyramid=pyramid)
    variables = random_variables(network, IMAGES, False)

    @jax.jit
    def trained(variables, seed):
        return network.apply(
            variables, IMAGES, True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(seed)}
        )[0].pooled

    assert np.abs(trained(variables, 0) - trained(variables, 1)).max() > 0.01
    np.testing.assert_array_equal(trained(variables, 0), trained(variables, 0))
    jax.eval_shape(lambda v: network.apply(v, IMAGES, False), variables)  # no random stream


def test_further_fields_come_from_the_config_and_are_kept():
    fields = {"pyramid": True, "dropout": 0.6}
    settled = conventions("iresnet18", None, {"bn_momentum": 0.8}, fields)
    assert settled["fields"] == {
        **fields,
        "padding": "torch",
        "bn_epsilon": 1e-5,
        "bn_momentum": 0.8,
    }
    assert settled["image_mean"] == settled["image_std"] == (0.5, 0.5, 0.5)
    backbone = NetworkSpec("iresnet18", fields=settled["fields"]).build({"opt": 2}).backbone
    assert (backbone.pyramid, backbone.dropout, backbone.coordinate_attention) == (True, 0.6, False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"neck": 1}, "unknown field of backbone iresnet18 'neck'; known: dtype, .*pyramid"),
        ({"depth": 50}, "unknown field of backbone iresnet18 'depth'; known: dtype"),
        ({"padding": "same"}, r"fields\.padding is set as --config\.model\.padding=VALUE"),
        ({"dtype": "bfloat16"}, r"fields\.dtype is set as --config\.model\.precision=VALUE"),
    ],
)
def test_wrong_fields_are_refused_by_name(fields, message):
    with pytest.raises(UserError, match=message):
        conventions("iresnet18", None, {}, fields)
