"""ReCoT: regularised co-training with clean and noisy labels, and its ablations.

Li et al., "ReCoT: Regularized Co-Training for Facial Action Unit Recognition with Noisy Labels"
(BMVC 2023), section 3. The components of Table 4(b) are the same method with parts switched off:

| in the table                     | views | lambda_n | lambda_cons | refine_after |
| -------------------------------- | ----- | -------- | ----------- | ------------ |
| Baseline + net_noisy             | 1     | > 0      | 0           | 0            |
| Baseline + CoT                   | 2     | 0        | > 0         | 0            |
| Baseline + CoT + net_noisy       | 2     | > 0      | > 0         | 0            |
| ReCoT (CoT + net_noisy + TLR)    | 2     | > 0      | > 0         | > 0          |
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding
from jaxtyping import Array, Bool, Float, Float32, Int, Int8

from au_jax import losses
from au_jax.allowed import Decay, Positive, Range, Share, Weight
from au_jax.errors import UserError
from au_jax.methods.base import Context, Method, PyTree, Variables
from au_jax.methods.co_training import CLEAN, NOISY, STREAMS, Networks


def small_loss(
    values: Float[Array, "examples aus"], among: Bool[Array, "examples aus"], gamma: float
) -> Bool[Array, "examples aus"]:
    """The floor(gamma N) entries with the smallest losses of the N in `among`; one at least.

    Equal losses are taken in row-major order (ours). No gradient flows.
    """
    # Rounded down on the host in double precision: 0.9 x 10 is 9 and never a little less.
    whole = np.floor((gamma * np.arange(values.size + 1)).round(9)).astype(np.int32)
    whole[1:] = np.maximum(whole[1:], 1)
    ordered = jnp.where(among, jax.lax.stop_gradient(values), jnp.inf).ravel()
    rank = jnp.argsort(jnp.argsort(ordered)).reshape(values.shape)
    return among & (rank < jnp.asarray(whole)[among.sum()])


def selective_balanced_loss(
    logits: Float[Array, "examples aus"],
    ranked_by: Float[Array, "examples aus"],
    labels: Int8[Array, "examples aus"],
    alpha: float,
    beta: float,
    gamma: float,
) -> tuple[Float32[Array, ""], Bool[Array, "examples aus"]]:
    """L_noisy of one view, Eq. 4.

    The mean negative log likelihood of the selected positive entries times alpha, plus that of the
    selected negatives times beta. Of either kind those are selected whose loss is smallest under
    the other view, over all images and AUs together.

    Args:
      logits: whose sigmoid is p_noisy: f_clean + f_noisy of this view.
      ranked_by: those of the other view.
      labels: refined; unknown ones are left out.

    Returns:
      The loss, and which entries were selected.
    """
    theirs = losses.binary_cross_entropy(ranked_by, labels == 1)
    ours = losses.masked_cross_entropy(logits, labels == 1, losses.known_mask(labels))
    total, selected = jnp.zeros(()), jnp.zeros(labels.shape, bool)
    for weight, label in ((alpha, 1), (beta, 0)):
        chosen = small_loss(theirs, labels == label, gamma)
        mean = jnp.where(chosen, ours, 0).sum() / jnp.maximum(chosen.sum(), 1)
        total, selected = total + weight * mean, selected | chosen
    return total, selected


def refined_labels(
    given: Int8[Array, "examples aus"], fusion: Float32[Array, "examples aus"]
) -> Int8[Array, "examples aus"]:
    """Temporal label refinement: 1[p > 0.5] in the place of every known label.

    A label that is not known stays so (ours: the paper's noisy labels are all known).

    Args:
      fusion: p averaged over the epochs (Eq. 7).
    """
    return jnp.where(given >= 0, (fusion > 0.5).astype(given.dtype), given)


def epochs_before_refining(refine_after: float, epochs: int) -> int:
    """K, the epochs before labels are refined: a share of all, rounded down, 1 at least."""
    # Rounded first: 2 / 3 of 9 is 6 and never a little less.
    return max(1, math.floor(round(refine_after * epochs, 9)))


def newest_share(phi: float, finished: Int[Array, ""], corrected: bool) -> Float32[Array, ""]:
    """The share of the newest epoch's p_fusion in the average over epochs (Eq. 7).

    The average p_t + share x (newest - p_t) then is Eq. 7 from p_0 = 0, divided by 1 - phi^t
    (ours), in which an epoch counts phi times as much as the next. The paper does not say where its
    average starts.

    Args:
      finished: t, the number of epochs that the average then holds, 1 at least.
      corrected: False for Eq. 7 as printed, from the first epoch's p_fusion: that epoch keeps the
        weight phi^(t - 1), which at t = 4 is 73 % for phi 0.9.
    """
    whole = 1 - phi**finished if corrected else jnp.where(finished == 1, 1 - phi, 1.0)
    return jnp.asarray((1 - phi) / whole, jnp.float32)


def create(
    context: Context,
    *,
    selective_ratios: Sequence[Share],
    views: Annotated[int, Range(ge=1, le=2)] = 2,
    lambda_n: Weight = 1.0,
    lambda_cons: Weight = 1.0,
    alpha: Weight = 1.0,
    beta: Weight = 0.1,
    gamma: Positive = 0.9,
    mu: Share = 0.1,
    phi: Decay = 0.9,
    corrected: bool = True,
    refine_after: Annotated[float, Range(ge=0, lt=1)] = 2 / 3,
) -> Method:
    """The method in a training's context.

    The noisy stream's `labels` are the given noisy labels, and its `index` the row of the table of
    refined labels, which `end_of_epoch` brings up to date.

    Args:
      selective_ratios: see `Networks.of`.
      views: networks, 1 or 2. A single one selects its own small-loss entries (ours).
      lambda_n: lambda_n; 0 leaves out the noisy head and the noisy labels.
      lambda_cons: lambda_cons, of Eq. 5 over clean and noisy images alike.
      alpha, beta, gamma: see `selective_balanced_loss`; the paper's. The paper gives none of the
        values below, nor both weights above: they are ours.
      mu, phi: the share of the noisy head in p_fusion (Eq. 6), and of the earlier epochs in its
        average (Eq. 7).
      corrected: see `newest_share`.
      refine_after: the share of the epochs, in [0, 1), after which refined labels take the place
        of the given ones; 0 for never. K is that share, rounded down to epochs, one at least: epoch
        K + 1 is the first to learn from refined labels.

    Raises:
      UserError: a value is out of its range.
    """
    if not 0 < gamma <= 1:
        raise UserError(
            f"gamma is {gamma}, but it is the share of small-loss entries that are kept; give a "
            "number above 0 and up to 1"
        )
    if not 0 <= phi < 1:
        raise UserError(
            f"phi is {phi}, but it is the share of the earlier epochs in an average; give a number "
            "from 0 to below 1"
        )
    if not 0 <= refine_after < 1:
        raise UserError(
            f"refine_after is {refine_after}, but it is the share of the epochs after which labels "
            "are refined; give a number from 0 (never) to below 1"
        )
    if refine_after and not lambda_n:
        raise UserError(
            f"refine_after is {refine_after}, but with lambda_n 0 no labels are refined; set "
            "refine_after to 0"
        )
    refine_from = epochs_before_refining(refine_after, context.epochs)
    networks = Networks.of(
        context,
        selective_ratios,
        views=views,
        heads=STREAMS if lambda_n else (CLEAN,),
    )

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        params, batch_stats, method_state = networks.init(key)
        if refine_after:
            table = jnp.zeros((context.streams[NOISY].records, len(context.aus)))
            method_state = {"fusion": table, "finished": jnp.zeros((), jnp.int32)}
        return params, batch_stats, method_state

    def labels_of(noisy: PyTree, method_state: PyTree) -> jax.Array:
        given = noisy["labels"]
        if not refine_after:
            return given
        refined = refined_labels(given, method_state["fusion"][noisy["index"]])
        return jnp.where(method_state["finished"] >= refine_from, refined, given)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key = jax.random.split(key)
        by_head, batch_stats = networks.forward(forward_key, params, batch_stats, batch, STREAMS)
        f_clean, share = by_head[CLEAN], len(batch[CLEAN]["labels"])
        logs = {
            "loss_clean": networks.clean_loss(
                select_key, f_clean[:, :share], batch[CLEAN]["labels"]
            )
        }
        total = logs["loss_clean"]
        if lambda_n:
            labels = labels_of(batch[NOISY], method_state)
            combined = (f_clean + by_head[NOISY])[:, share:]  # its sigmoid is p_noisy, Eq. 3
            values, selected = zip(
                *(
                    selective_balanced_loss(logits, ranked_by, labels, alpha, beta, gamma)
                    for logits, ranked_by in zip(combined, combined[::-1], strict=True)
                ),
                strict=True,
            )
            logs["loss_noisy"] = sum(values) / views
            logs |= _selection_logs(jnp.stack(selected), labels, batch[NOISY])
            total += lambda_n * logs["loss_noisy"]
        if lambda_cons:
            logs["loss_consistency"] = losses.co_regularization_loss(f_clean[0], f_clean[-1])
            total += lambda_cons * logs["loss_consistency"]
        if views == 2:
            logs["agreement"] = jnp.mean((f_clean[0] > 0) == (f_clean[1] > 0))
        return total, (batch_stats, method_state, logs)

    return Method(
        aus=networks.aus,
        init=init,
        loss=loss,
        predict=networks.predict,
        kept=networks.kept,
        end_of_epoch=_end_of_epoch(networks, mu, phi, corrected) if refine_after else None,
        label_tables=(lambda state: {NOISY: state["fusion"]}) if refine_after else None,
        unlabelled=() if lambda_n else (NOISY,),
    )


def _selection_logs(
    selected: Bool[Array, "views examples aus"], labels: Int8[Array, "examples aus"], noisy: PyTree
) -> dict[str, jax.Array]:
    """What small-loss selection kept of the noisy labels learned from.

    Where the stream has the field `true`, int8 [B, A], also which share of those labels is right,
    and of those selected.
    """
    known = jnp.broadcast_to((labels >= 0)[None], selected.shape)

    def share(part: jax.Array, whole: jax.Array) -> jax.Array:
        return (part & whole).sum() / jnp.maximum(whole.sum(), 1)

    logs = {"selected": share(selected, known)}
    if "true" in noisy:
        right = jnp.broadcast_to((labels == noisy["true"])[None], selected.shape)
        judged = known & (noisy["true"] >= 0)[None]
        logs["labels_right"] = share(right, judged)
        logs["selected_right"] = share(right, judged & selected)
    return logs


def _end_of_epoch(networks: Networks, mu: float, phi: float, corrected: bool) -> Callable[..., Any]:
    """Temporal label refinement (section 3.3): a plain pass over the noisy stream.

    That it is a pass of its own, without augmentation, is ours.
    """

    @functools.cache
    def compiled(whole: Sharding) -> tuple[Callable, Callable]:
        def begin(method_state: PyTree) -> PyTree:
            # A copy, which `refine` may overwrite.
            table = jnp.copy(method_state["fusion"])
            return {"fusion": table, "finished": method_state["finished"] + 1}

        def refine(method_state: PyTree, variables: Variables, batch: PyTree) -> PyTree:
            by_head = networks.evaluate(variables, batch["image"], batch["pose"], networks.net)
            p_clean = jax.nn.sigmoid(by_head[CLEAN]).mean(0)
            p_noisy = jax.nn.sigmoid(by_head[CLEAN] + by_head[NOISY]).mean(0)
            fusion = mu * p_noisy + (1 - mu) * p_clean
            table = method_state["fusion"]
            share = newest_share(phi, method_state["finished"], corrected)
            average = (1 - share) * table[batch["index"]] + share * fusion
            # The batch's padding is written beyond the end, which drops it.
            rows = jnp.where(batch["valid"], batch["index"], len(table))
            return method_state | {"fusion": table.at[rows].set(average, mode="drop")}

        return (
            jax.jit(begin, out_shardings=whole),
            jax.jit(refine, out_shardings=whole, donate_argnums=0),
        )

    def end_of_epoch(state: Any, passes: Callable[[str], Iterable[PyTree]]) -> Any:
        begin, refine = compiled(state.method_state["fusion"].sharding)
        method_state = begin(state.method_state)
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        for batch in passes(NOISY):
            method_state = refine(method_state, variables, batch)
        return dataclasses.replace(state, method_state=method_state)

    return end_of_epoch
