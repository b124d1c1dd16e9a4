"""Optimisers by name. Training only relies on the interface of torch.optim.

All update parameters in place and read nothing but their gradients: parameters may be views of
larger tensors, as those of one model among several are.

`inr.config` takes the names from here, without torch: only what is used is imported.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from inr.config import TrainingConfig
    from inr.network.model import Network
else:
    Network = Optimizer = TrainingConfig = Any


def _adam(training: TrainingConfig, network: Network) -> list[Optimizer]:
    """Kingma and Ba 2015."""
    from torch.optim import Adam

    return [Adam(network.parameters, lr=training.learning_rate, **_adam_on(network))]


def _adam_on(network: Network) -> dict[str, Any]:
    """On a GPU one kernel does all, counts the steps there, and can be part of a CUDA graph."""
    on_gpu = network.weights[0].is_cuda
    return {"fused": on_gpu, "capturable": on_gpu}


def _muon(training: TrainingConfig, network: Network) -> list[Optimizer]:
    """Muon (Jordan 2024) for the matrices between hidden layers, Adam for all else.

    Muon's updates are scaled to the size that Adam's have (Liu et al. 2025), so that
    ``hidden_rate_factor`` compares like with like.
    """
    from torch.optim import Adam, Muon

    hidden = network.weights[1:-1]
    others = [network.weights[0], network.weights[-1], *network.biases, *network.sines]
    adam = Adam(others, lr=training.learning_rate, **_adam_on(network))
    if not hidden:
        return [adam]
    options = training.optimizer_options
    muon = Muon(
        hidden,
        lr=options.hidden_rate_factor * training.learning_rate,
        momentum=options.momentum,
        weight_decay=0.0,
        adjust_lr_fn="match_rms_adamw",
    )
    return [adam, muon]


def _soap(training: TrainingConfig, network: Network) -> list[Optimizer]:
    """Vyas et al. 2024; biases have no matrix to precondition and get Adam."""
    from pytorch_optimizer import SOAP

    soap = SOAP(
        network.parameters,
        lr=training.learning_rate,
        weight_decay=0.0,
        precondition_frequency=training.optimizer_options.basis_every,
    )
    return [soap]


OPTIMIZERS = {"adam": _adam, "muon": _muon, "soap": _soap}


def make_optimizers(training: TrainingConfig, network: Network) -> list[Optimizer]:
    """The optimisers of a run, each for parameters of its own, with their rates at the peak."""
    optimizers = OPTIMIZERS[training.optimizer](training, network)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def step_optimizers(optimizers: list[Optimizer], factor: float) -> None:
    """One step of each, at ``factor`` times the peak of its rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        optimizer.step()


def restore_optimizer(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Take over a saved ``state_dict``, of this machine or another: what it does there is its own.

    State goes to the device of the parameters, but for what the optimiser keeps on the host.
    """
    own = optimizer.state_dict()["param_groups"]
    pairs = zip(saved["param_groups"], own, strict=True)
    optimizer.load_state_dict(saved | {"param_groups": [before | now for before, now in pairs]})


def clip_gradients(training: TrainingConfig, network: Network) -> None:
    """Scale the gradients down to the norm ``training.clip_norm`` over all parameters, if larger.

    Nothing waits for the device. Gradients that are NaN or infinite stay so.
    """
    from torch.nn.utils import clip_grad_norm_

    if training.clip_norm != "none":
        clip_grad_norm_(network.parameters, training.clip_norm)
