"""The same training step with folx's forward Laplacian under jax.jit."""

from typing import Any

import folx
import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.steps import VARIANCES, Problem, Step

ACTIVATIONS = {"sine": jnp.sin, "elu": jax.nn.elu}


def folx_jit(problem: Problem) -> Step:
    """folx for x and y, one jvp for time, jax.value_and_grad for the parameters."""
    network = problem.network
    activation, config = ACTIVATIONS[network.config.activation], network.config
    count = len(network.weights)
    parameters = [jnp.asarray(p.detach().numpy()) for p in network.parameters]
    points = jnp.asarray(problem.points.numpy())
    targets = [jnp.asarray(getattr(problem.targets, name).numpy()) for name in VARIANCES]

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
        carried = folx.forward_laplacian(lambda where: value(given, where, time))(space)
        _, rate = jax.jvp(lambda when: value(given, space, when), (time,), (jnp.ones(1),))
        return carried.x, carried.jacobian.dense_array, carried.laplacian, rate

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


def as_numpy(array: Any) -> np.ndarray[Any, Any]:
    """An array of jax or torch."""
    return np.asarray(array.detach() if hasattr(array, "detach") else array)
