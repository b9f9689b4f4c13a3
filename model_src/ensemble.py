"""Fitting an ensemble of trees in stages, so that it can be interrupted between two of them and resumed.

Stages depend on the number of iterations alone and are the same with and without an interruption; each begins
with nothing but the trees so far and the state of the random numbers. A resumed fit is the same bit for bit.
scikit-learn's own `warm_start` adds the trees of a stage.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model_src.checkpoint import Arrays

_MOST_STAGES = 20
_LEAST_ITERATIONS = 10  # of a stage
_ITERATIONS = {
    "random_forest": "n_estimators",
    "gradient_boosting": "n_estimators",
    "hist_gradient_boosting": "max_iter",
}

Floats = NDArray[np.float64]


class StateError(ValueError):
    """Arrays that are no state of this estimator."""


def iterations_of(kind: str, estimator: Any) -> int | None:
    """How many iterations an estimator is asked for; None where it cannot be fitted in stages.

    Early stopping by another measure than the loss, or in gradient_boosting, would count anew in each stage.
    """
    parameters = estimator.get_params(deep=False)
    count = parameters.get(_ITERATIONS.get(kind, ""))
    if type(count) is not int or count < 1:  # scikit-learn says what is wrong with it
        return None
    if parameters.get("n_iter_no_change") is not None and kind == "gradient_boosting":
        return None
    if parameters.get("scoring", "loss") != "loss":
        return None
    return count


def stage_ends(iterations: int) -> list[int]:
    """The number of iterations at the end of each stage."""
    step = max(_LEAST_ITERATIONS, -(-iterations // _MOST_STAGES))
    return [*range(step, iterations, step), iterations]


def fit_in_stages(
    kind: str,
    estimator: Any,
    data: tuple[Floats, NDArray[Any]],
    *,
    done: tuple[int, Arrays] | None,
    after_stage: Callable[[int, Callable[[], Arrays]], None],
) -> Any:
    """The fitted estimator; `data` is matrix and target.

    `done` is where an earlier fit stood. `after_stage` is called with the iterations so far and a function
    that gives the arrays to resume from.

    Raises: StateError if `done` does not fit, and what scikit-learn raises.
    """
    handler = _HANDLERS[kind]
    name = _ITERATIONS[kind]
    iterations = estimator.get_params(deep=False)[name]
    estimator.set_params(warm_start=True)
    fitted = 0
    if done is not None:
        # One cheap iteration makes everything that is not a tree: classes, bins, baseline.
        estimator.set_params(**{name: 1}).fit(*data)
        fitted = done[0]
        handler.restore(estimator, done[1], fitted)
    for end in stage_ends(iterations):
        if end <= fitted:
            continue
        estimator.set_params(**{name: end}).fit(*data)
        if handler.count(estimator) < end:  # it has stopped early, of its own accord
            break
        after_stage(end, lambda: handler.state(estimator))
    return estimator.set_params(**{name: iterations}, warm_start=False)


class _Handler(Protocol):
    """How one kind of ensemble gives its state away and takes it back."""

    def count(self, estimator: Any) -> int: ...
    def state(self, estimator: Any) -> Arrays: ...
    def restore(self, estimator: Any, arrays: Arrays, iterations: int) -> None: ...


class _Forest:
    """random_forest: its trees, and the seed of each, from which `oob_score` finds their samples again."""

    def count(self, estimator: Any) -> int:
        return len(estimator.estimators_)

    def state(self, estimator: Any) -> Arrays:
        trees = list(estimator.estimators_)
        return {
            **_tree_arrays(trees),
            "seeds": np.array([tree.random_state for tree in trees], dtype=np.int64),
        }

    def restore(self, estimator: Any, arrays: Arrays, iterations: int) -> None:
        trees = _trees_from(arrays, like=estimator.estimators_[0], count=iterations)
        seeds = _array(arrays, "seeds", shape=(iterations,), kind="i")
        for tree, seed in zip(trees, seeds.tolist(), strict=True):
            tree.set_params(random_state=seed)
        estimator.estimators_ = trees


class _Boosting:
    """gradient_boosting: its trees, its scores, and the generator that draws subsamples."""

    def count(self, estimator: Any) -> int:
        return len(estimator.estimators_)

    def state(self, estimator: Any) -> Arrays:
        _, keys, position, has_gauss, gauss = estimator._rng.get_state()
        return {
            **_tree_arrays(estimator.estimators_.ravel().tolist()),
            **{name: getattr(estimator, name) for name in _SCORES if hasattr(estimator, name)},
            "random_keys": keys,
            "random_place": np.array([position, has_gauss, gauss], dtype=np.float64),
        }

    def restore(self, estimator: Any, arrays: Arrays, iterations: int) -> None:
        width = estimator.estimators_.shape[1]
        trees = _trees_from(arrays, like=estimator.estimators_[0, 0], count=iterations * width)
        keys = _array(arrays, "random_keys", shape=(624,), kind="u")
        position, has_gauss, gauss = _array(arrays, "random_place", shape=(3,), kind="f").tolist()
        estimator._rng.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))
        estimator.estimators_ = np.array(trees, dtype=object).reshape(iterations, width)
        estimator.n_estimators_ = iterations
        for name in _SCORES:
            if hasattr(estimator, name):
                setattr(estimator, name, _array(arrays, name, shape=(iterations,), kind="f"))


class _HistBoosting:
    """hist_gradient_boosting: its trees, its scores, and the generator that draws features."""

    def count(self, estimator: Any) -> int:
        return int(estimator.n_iter_)

    def state(self, estimator: Any) -> Arrays:
        trees = [tree for trees in estimator._predictors for tree in trees]
        random = json.dumps(estimator._feature_subsample_rng.bit_generator.state)
        return {
            "nodes": _joined([tree.nodes for tree in trees]),
            "sizes": np.array([len(tree.nodes) for tree in trees]),
            "train_scores": np.asarray(estimator.train_score_, dtype=np.float64),
            "validation_scores": np.asarray(estimator.validation_score_, dtype=np.float64),
            "random": np.frombuffer(random.encode(), dtype=np.uint8),
        }

    def restore(self, estimator: Any, arrays: Arrays, iterations: int) -> None:
        first = estimator._predictors[0][0]
        width = len(estimator._predictors[0])
        parts = _split(arrays, count=iterations * width, dtype=first.nodes.dtype)
        trees = []
        for nodes in parts:
            inner = nodes["is_leaf"] == 0
            _check_children(nodes["left"][inner], nodes["right"][inner], len(nodes))
            _check_features(nodes["feature_idx"][inner], estimator.n_features_in_)
            if nodes["is_categorical"].any():
                raise StateError("a tree has categorical splits, which no training here makes")
            tree = copy.copy(first)
            tree.nodes = nodes
            trees.append(tree)
        estimator._predictors = [trees[at : at + width] for at in range(0, len(trees), width)]
        estimator.train_score_ = _array(arrays, "train_scores", shape=None, kind="f")
        estimator.validation_score_ = _array(arrays, "validation_scores", shape=None, kind="f")
        state = json.loads(_array(arrays, "random", shape=None, kind="u").tobytes())
        estimator._feature_subsample_rng.bit_generator.state = state


_SCORES = ("train_score_", "oob_improvement_", "oob_scores_")
_HANDLERS: dict[str, _Handler] = {
    "random_forest": _Forest(),
    "gradient_boosting": _Boosting(),
    "hist_gradient_boosting": _HistBoosting(),
}


def _tree_arrays(trees: Sequence[Any]) -> Arrays:
    """The trees of scikit-learn's `tree` module, one after the other."""
    states = [tree.tree_.__getstate__() for tree in trees]
    return {
        "nodes": _joined([state["nodes"] for state in states]),
        "values": np.concatenate([state["values"] for state in states]),
        "sizes": np.array([state["node_count"] for state in states]),
        "depths": np.array([state["max_depth"] for state in states]),
    }


def _trees_from(arrays: Arrays, *, like: Any, count: int) -> list[Any]:
    """`count` trees as `_tree_arrays` gave them, in estimators like the given one."""
    constructor, arguments, state = like.tree_.__reduce__()
    parts = _split(arrays, count=count, dtype=state["nodes"].dtype)
    shape = (sum(map(len, parts)), *state["values"].shape[1:])
    values = _array(arrays, "values", shape=shape, kind="f")
    depths = _array(arrays, "depths", shape=(count,), kind="i").tolist()
    trees, start = [], 0
    for nodes, depth in zip(parts, depths, strict=True):
        inner = nodes["left_child"] != -1
        _check_children(nodes["left_child"][inner], nodes["right_child"][inner], len(nodes))
        _check_features(nodes["feature"][inner], arguments[0])
        tree = copy.copy(like)
        tree.tree_ = constructor(*arguments)
        end = start + len(nodes)
        tree.tree_.__setstate__(
            {"max_depth": depth, "node_count": len(nodes), "nodes": nodes, "values": values[start:end]}
        )
        trees.append(tree)
        start = end
    return trees


def _split(arrays: Arrays, *, count: int, dtype: np.dtype[Any]) -> list[NDArray[Any]]:
    """The nodes of each of `count` trees."""
    sizes = _array(arrays, "sizes", shape=(count,), kind="i")
    nodes = arrays.get("nodes")
    if nodes is None or nodes.dtype != dtype or nodes.shape != (sizes.sum(),) or (sizes < 1).any():
        raise StateError("the nodes are not those of the trees")
    return [part.copy() for part in np.split(nodes, np.cumsum(sizes)[:-1])]


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The parts in one array of their own type; numpy would leave out the padding between its fields."""
    whole = np.zeros(sum(map(len, parts)), dtype=parts[0].dtype)
    np.concatenate(parts, out=whole, casting="no")
    return whole


def _array(arrays: Arrays, name: str, *, shape: tuple[int, ...] | None, kind: str) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None or array.dtype.kind != kind or (array.shape != shape if shape else array.ndim != 1):
        raise StateError(f"there is no array '{name}' of the right shape and type")
    return array


def _check_children(left: NDArray[Any], right: NDArray[Any], count: int) -> None:
    """Compiled code follows these numbers without looking: each is a later node of the same tree."""
    for children in (left, right):
        if len(children) and (children.min() < 1 or children.max() >= count):
            raise StateError("a node's child is no node of its tree")


def _check_features(features: NDArray[Any], count: int) -> None:
    if len(features) and (features.min() < 0 or features.max() >= count):
        raise StateError("a node looks at a feature that is not there")
