"""The same training step in jax, under jit: its Laplacian nested, by Taylor series, or by folx."""

from collections.abc import Callable
from typing import Any

import folx
import jax
import jax.numpy as jnp
from jax.experimental.jet import jet

from tests.benchmarks.steps import VARIANCES, Problem, Step

ACTIVATIONS = {"sine": jnp.sin, "elu": jax.nn.elu}


def _nested(value: Any, space: Any) -> tuple[Any, Any, Any]:
    """Forward mode over reverse mode, along x and y."""
    slope = jax.value_and_grad(value)
    (found, gradient), along = jax.vmap(
        lambda axis: jax.jvp(slope, (space,), (axis,)), out_axes=((None, None), 0)
    )(jnp.eye(2))
    return found, gradient, jnp.trace(along[1])


def _taylor(value: Any, space: Any) -> tuple[Any, Any, Any]:
    """The second order of the Taylor series along x and y."""

    def along(axis: Any) -> tuple[Any, Any, Any]:
        found, (first, second) = jet(value, (space,), ((axis, jnp.zeros(2)),))
        return found, first, second

    found, gradient, seconds = jax.vmap(along)(jnp.eye(2))
    return found[0], gradient, seconds.sum()


def _folx(value: Any, space: Any) -> tuple[Any, Any, Any]:
    carried = folx.forward_laplacian(value)(space)
    return carried.x, carried.jacobian.dense_array, carried.laplacian


def folx_jit(problem: Problem) -> Step:
    """folx for x and y."""
    return _jit(problem, _folx)


def nested_jit(problem: Problem) -> Step:
    """Nested differentiation for x and y."""
    return _jit(problem, _nested)


def jet_jit(problem: Problem) -> Step:
    """jax.experimental.jet for x and y."""
    return _jit(problem, _taylor)


def _jit(problem: Problem, laplacian: Callable[[Any, Any], tuple[Any, Any, Any]]) -> Step:
    """``laplacian`` for x and y, one jvp for time, jax.value_and_grad for the parameters."""
    network = problem.network
    activation, config = ACTIVATIONS[network.config.activation], network.config
    count = len(network.weights)
    parameters = [jnp.asarray(p.detach().cpu().numpy()) for p in network.parameters]
    points = jnp.asarray(problem.points.cpu().numpy())
    targets = [jnp.asarray(getattr(problem.targets, name).cpu().numpy()) for name in VARIANCES]

    def value(given: list[Any], space: Any, time: Any) -> Any:
        hidden = jnp.concatenate([space, time])
        for layer in range(config.depth):
            z = given[layer] @ hidden + given[count + layer]
            hidden = activation(config.omega(layer) * z if config.activation == "sine" else z)
        return (given[count - 1] @ hidden + given[-1])[0]

    def fields(given: list[Any], point: Any) -> tuple[Any, ...]:
        space, time = point[:2], point[2:]
        if problem.order == 0:
            return (value(given, space, time),)
        if problem.order == 1:
            found, slopes = jax.value_and_grad(value, argnums=(1, 2))(given, space, time)
            return found, slopes[0], None, slopes[1][0]
        found, gradient, second = laplacian(lambda where: value(given, where, time), space)
        _, rate = jax.jvp(lambda when: value(given, space, when), (time,), (jnp.ones(1),))
        return found, gradient, second, rate

    def loss(given: list[Any]) -> Any:
        found = jax.vmap(fields, in_axes=(None, 0))(given, points)
        terms = zip(problem.weights.as_tuple(), VARIANCES.values(), targets, strict=True)
        return sum(
            weight / variance * jnp.square(found[index] - target).sum() / len(points)
            for index, (weight, variance, target) in enumerate(terms)
            if weight
        )

    step = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(step(parameters))
