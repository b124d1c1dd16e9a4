"""The configuration of one run: every field, its default, its limits, its identity.

A configuration is frozen and complete: two equal configurations describe the same computation.
Sweep files and ``--set`` address the fields by the dotted paths ``data.*``, ``model.*``,
``training.*`` and ``record.*``.
"""

import hashlib
import json
import math
from collections.abc import Hashable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator

from inr.added_fields import without_added
from inr.config_groups import BalancingOptions, Count, Group, OptimizerOptions, ScheduleOptions
from inr.config_groups import LossWeights as LossWeights
from inr.config_groups import RecordConfig as RecordConfig
from inr.network.activations import ACTIVATIONS
from inr.training.optimizers import OPTIMIZERS
from inr.training.schedules import CYCLIC_FLOOR, ORIGINAL_SCHEDULES, SCHEDULES

if TYPE_CHECKING:
    Activation = str
    Optimizer = str
    Schedule = str
else:  # what a module defines is allowed
    Activation = Literal[*ACTIVATIONS]
    Optimizer = Literal[*OPTIMIZERS]
    Schedule = Literal[*SCHEDULES]
CompileMode = Literal["auto", "on", "off"]
Precision = Literal["float32", "tf32", "bfloat16", "float64"]
Protocol = Literal["corrected", "original"]
FrameSpacing = Literal["time", "log_sigma"]
Derivatives = Literal["exact", "discrete"]
FirstLayer = Literal["trained", "fourier_dyadic", "fourier_gaussian", "sinh"]
ValuePoints = Literal["all", "border"]
Initialization = Literal["uniform", "siren2"]

# px: SSIM needs a window of 11, and the held-out grid of pixel corners is one shorter
MIN_SIDE = 12
BUILT_IN_IMAGES = (  # photographs that come with scikit-image
    *("camera", "astronaut", "brick", "cell", "chelsea", "coffee"),
    *("coins", "grass", "gravel", "moon", "page", "text"),
)


class DataConfig(Group):
    """The image and the diffusion sequence made from it."""

    image: str = Field("camera", min_length=1)  # built in (camera, coins...), or a file's path
    size: int = Field(256, ge=MIN_SIDE, le=8192)  # longer side after resizing, px
    frames: int = Field(10, ge=2, le=10_000)
    sigma_start: float = Field(0.7, ge=0, le=1e6)  # Gaussian blur of the first frame, px
    sigma_end: float = Field(4.0, gt=0, le=1e6)  # Gaussian blur of the last frame, px
    # of frames: even in diffusion time, or in the logarithm of the blur (more frames early, where
    # fine detail decays)
    frame_spacing: FrameSpacing = "time"
    # standard deviation of normal noise on the image, which spans [-1, 1], before it diffuses
    noise: float = Field(0.0, ge=0, le=10)
    # what is trained on: the exact derivatives, or those that discrete filters find in the frames
    derivatives: Derivatives = "exact"

    @model_validator(mode="after")
    def _time_runs_forward(self) -> "DataConfig":
        if self.sigma_end <= self.sigma_start:
            raise ValueError(
                f"sigma_end ({self.sigma_end:g} px) must be larger than "
                f"sigma_start ({self.sigma_start:g} px)"
            )
        if self.frame_spacing == "log_sigma" and self.sigma_start == 0:
            raise ValueError(
                "data.frame_spacing log_sigma needs a data.sigma_start above 0, which has a "
                "logarithm. Raise it, or set data.frame_spacing to time"
            )
        return self


class ModelConfig(Group):
    """The coordinate network (x, y, time) -> value."""

    # of hidden layers. elu has a kink in its second derivative: its Laplacian jumps wherever a unit
    # crosses zero, so it can only approximate a smooth one
    activation: Activation = "sine"
    width: int = Field(256, ge=1, le=65_536)  # units per hidden layer
    depth: int = Field(4, ge=1, le=64)  # hidden layers
    omega_first: PositiveFloat = 30.0  # of the first layer's phase, where an activation has one
    omega_hidden: PositiveFloat = 30.0  # the same of the other hidden layers
    # initial weights of x and y are multiplied by this; "image" follows the finest detail of the
    # sequence, see `RunConfig.input_scales`
    space_scale: Literal["image"] | PositiveFloat = 1.0
    time_scale: PositiveFloat = 1.0  # initial weights of the time input are multiplied by this
    first_scale: PositiveFloat = 1.0  # so are all of the first layer, and its biases, by this
    hidden_scale: PositiveFloat = 1.0  # and by this the weights between hidden layers
    # a trained layer; or Fourier features in its place, fixed: frequencies up to omega_first that
    # double, or normally distributed with this standard deviation; or sinh before the sine
    first_layer: FirstLayer = "trained"
    # of each hidden unit: one, or a sum of several with learned amplitudes, frequencies and shifts
    sines: int = Field(1, ge=1, le=64)
    # uniform by the activation; siren2 adds noise, more of it for finer images, to the weights of
    # the first two layers
    initialization: Initialization = "uniform"

    @model_validator(mode="after")
    def _sums_are_of_sines(self) -> "ModelConfig":
        if self.sines > 1 and (self.activation, self.first_layer) != ("sine", "trained"):
            raise ValueError(
                f"model.sines is {self.sines}: sums are of the activation sine in a trained first "
                f"layer. model.activation is {self.activation}, model.first_layer "
                f"{self.first_layer}. Set them to sine and trained, or model.sines to 1"
            )
        return self

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The activation of each hidden layer."""
        first = {"trained": self.activation, "sinh": "sinh_sine"}.get(self.first_layer, "sine")
        return (first, *[self.activation] * (self.depth - 1))

    def omega(self, layer: int) -> float:
        """Frequency of hidden layer ``layer``, counted from 0."""
        return self.omega_first if layer == 0 else self.omega_hidden


def _word(value: Any) -> Any:
    """Files of YAML 1.1 have true and false for the words on and off."""
    return ("on" if value else "off") if isinstance(value, bool) else value


class TrainingConfig(Group):
    """How the network is fitted."""

    # original: the published study as it ran, with its targets, coordinates, schedules and defects
    # (docs/original-protocol.md)
    protocol: Protocol = "corrected"
    steps: Count = 2000  # optimiser steps
    batch: Literal["frame"] | Count = "frame"  # all pixels of one frame, or random points per step
    # muon: hidden matrices, adam for the rest; soap: adam in the eigenbases of shampoo's
    # preconditioner
    optimizer: Optimizer = "adam"
    optimizer_options: OptimizerOptions = OptimizerOptions()
    learning_rate: PositiveFloat = 1e-4  # the peak
    schedule: Schedule = "uniform"
    schedule_options: ScheduleOptions = ScheduleOptions()
    loss_weights: LossWeights = LossWeights()
    # where the value is trained: everywhere, or at the outermost pixels of each frame alone
    value_points: ValuePoints = "all"
    # divide each term by the variance of its target, or do not
    loss_normalization: Literal["variance", "raw"] = "variance"
    # adapt the balance of the terms while training, around their weights
    loss_balancing: Literal["none", "relobralo"] = "none"
    balancing_options: BalancingOptions = BalancingOptions()
    clip_norm: Literal["none"] | PositiveFloat = "none"  # largest norm of the whole gradient
    # of parameters and arithmetic; tf32 and bfloat16: float32 parameters, matrix products with
    # shorter factors (tf32: CUDA only, elsewhere as float32)
    precision: Precision = "float32"
    # the training step; auto: where the run is long enough to repay it. Changes the last bits of
    # results
    compile: Annotated[CompileMode, BeforeValidator(_word)] = "auto"
    seed: int = Field(0, ge=0, le=2**31 - 1)  # initialisation and batch order

    @model_validator(mode="after")
    def _original_had_it(self) -> "TrainingConfig":
        if self.protocol == "corrected":
            return self
        if self.schedule not in ORIGINAL_SCHEDULES:
            *others, last = ORIGINAL_SCHEDULES
            choice = f"Choose {', '.join(others)} or {last}"
            reason = f"training.schedule {self.schedule} is not part of it. {choice}"
        elif self.schedule_options != ScheduleOptions():
            reason = (
                "its schedules have fixed numbers. Leave training.schedule_options at its defaults"
            )
        elif self.loss_balancing != "none":
            reason = (
                f"training.loss_balancing {self.loss_balancing} is not part of it. Set it to none"
            )
        elif self.value_points != "all":
            reason = f"training.value_points {self.value_points} is not part of it. Set it to all"
        elif self.schedule == "cyclic" and self.learning_rate <= CYCLIC_FLOOR:
            reason = (
                f"cyclic rates rise from {CYCLIC_FLOOR:g} to training.learning_rate, which is "
                f"{self.learning_rate:g}. Give a larger one"
            )
        else:
            return self
        raise ValueError(f"training.protocol original: {reason}")

    @property
    def trained_weights(self) -> LossWeights:
        """The weights that reach the gradient; the others only count in the recorded loss.

        All, but under the original protocol not the Laplacian's: its error was computed without a
        graph. They may all be 0 then, and nothing is trained.
        """
        if self.protocol == "corrected":
            return self.loss_weights
        return self.loss_weights.model_copy(update={"laplacian": 0.0})


class RunConfig(Group):
    """Everything that determines one run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    record: RecordConfig = RecordConfig()

    @model_validator(mode="after")
    def _original_has_its_own_sequence(self) -> "RunConfig":
        if self.training.protocol == "original":
            for name in ("sigma_start", "sigma_end", "frame_spacing", "noise", "derivatives"):
                given, default = getattr(self.data, name), DataConfig.model_fields[name].default
                if given != default:
                    if isinstance(given, float):
                        given, default = f"{given:g}", f"{default:g}"
                    raise ValueError(
                        f"data.{name} is {given}, but training.protocol original has frames at "
                        "fixed diffusion times of the image as it is, and targets of its own. "
                        f"Leave it at its default, {default}"
                    )
        return self

    @property
    def input_scales(self) -> tuple[float, float, float]:
        """What the initial weights of x, y and time are multiplied by.

        ``space_scale: image`` makes the frequencies of the first layer follow the finest detail,
        the blur of the first frame (at least half a pixel), in units of half the longer side. It
        is 1 for 64 px blurred by 0.7 px.
        """
        space = self.model.space_scale
        if space == "image":
            # the first frame of the original protocol is the image itself
            blur = 0.0 if self.training.protocol == "original" else self.data.sigma_start
            space = self.data.size / 64 * 0.7 / max(blur, 0.5)
        return (space, space, self.model.time_scale)

    @property
    def step_points(self) -> int:
        """Points of a step. The image is taken for square."""
        return self.data.size**2 if self.training.batch == "frame" else self.training.batch

    @property
    def metrics_every(self) -> int:
        """Steps between measurements of all frames.

        ``auto``: 40 in a run, or those of half as many points as are trained, but at least 10.
        """
        if self.record.metrics_every != "auto":
            return self.record.metrics_every
        data, steps = self.data, self.training.steps
        affordable = self.step_points * steps / (2 * data.frames * data.size**2)
        return math.ceil(steps / min(40, max(10, affordable)))

    def canonical_json(self) -> str:
        """The configuration as JSON with sorted keys and no white space.

        With every field but those of `inr.added_fields` that have the values of before.
        """
        dump = without_added(self.model_dump(mode="json"))
        return json.dumps(dump, sort_keys=True, separators=(",", ":"))

    @property
    def run_id(self) -> str:
        """Identity of the run: 12 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:12]

    @property
    def fusing_key(self) -> Hashable:
        """What runs must have in common to be trained as one.

        Network, batch and arithmetic make one shape, whatever the initial weights are multiplied
        by, and whatever the image is if batches are of points; the order of the highest derivative,
        so that none does the work of another.
        """
        training = self.training
        scales = [name for name in ModelConfig.model_fields if name.endswith("_scale")]
        model = self.model.model_copy(update=dict.fromkeys(scales, 1.0))
        order = training.trained_weights.highest_derivative
        data = self.data if training.batch == "frame" else None
        return (data, model, training.batch, training.precision, training.compile, order)

    @property
    def name(self) -> str:
        """Readable name, and the run's directory below ``runs/``.

        ``<weights>/<activation>_<schedule>_<learning rate>``, for example
        ``1_0.01_0.001_0/sine_uniform_1e-4``. A sweep that varies other fields appends them.
        """
        training = self.training
        rate = format_rate(training.learning_rate)
        return f"{training.loss_weights.label()}/{self.model.activation}_{training.schedule}_{rate}"


def format_rate(rate: float) -> str:
    """A learning rate without loss: ``1e-4``, ``2.5e-3``."""
    return f"{Decimal(repr(rate)).normalize():e}"
