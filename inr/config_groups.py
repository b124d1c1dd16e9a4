"""Loss weights, details of training, and recording: groups of fields inside `inr.config`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
FractionOrOne = Annotated[float, Field(gt=0, le=1)]


class Group(BaseModel):
    """Fields that belong together: frozen, complete, finite, nothing unknown."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )


class LossWeights(Group):
    """Weight of each term of the loss. At least one must be positive.

    Written as a mapping, or as a list in the order value, gradient, laplacian, time_derivative.
    """

    value: float = Field(1.0, ge=0)
    gradient: float = Field(0.0, ge=0)
    laplacian: float = Field(0.0, ge=0)
    time_derivative: float = Field(0.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, given: Any) -> Any:
        if not isinstance(given, (list, tuple)):
            return given
        names = list(cls.model_fields)
        if len(given) != len(names):
            raise ValueError(
                f"{len(given)} weights given, {len(names)} needed: [{', '.join(names)}]"
            )
        return dict(zip(names, given, strict=True))

    @model_validator(mode="after")
    def _something_to_learn(self) -> "LossWeights":
        if not any(self.as_tuple()):
            raise ValueError("all four weights are 0: at least one must be positive")
        return self

    def as_tuple(self) -> tuple[float, float, float, float]:
        """The weights in the order value, gradient, laplacian, time_derivative."""
        return (self.value, self.gradient, self.laplacian, self.time_derivative)

    @property
    def highest_derivative(self) -> int:
        """Highest derivative order that terms of positive weight need: 0, 1 or 2."""
        if self.laplacian:
            return 2
        return 1 if self.gradient or self.time_derivative else 0

    def label(self) -> str:
        """The weights as a directory name, for example ``1_0.01_0.001_0``."""
        return "_".join(f"{weight:.12g}" for weight in self.as_tuple())


class ScheduleOptions(Group):
    """Shape of the learning-rate schedules, as fractions of a run and of the learning rate."""

    final_fraction: FractionOrOne = 0.01  # exponential, cosine: last over peak rate
    milestones: tuple[Fraction, ...] = (0.25, 0.5, 0.75)  # multi_step: where the rate drops
    factor: FractionOrOne = 0.1  # multi_step: the rate is multiplied by this
    cycles: Count = 2  # cyclic: triangles per run
    floor_fraction: FractionOrOne = 0.001  # cyclic: lowest over peak rate
    warmup_fraction: float = Field(0.05, ge=0, lt=1)  # cosine: linear warm-up

    @model_validator(mode="after")
    def _milestones_rise(self) -> "ScheduleOptions":
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, got {list(self.milestones)}")
        return self


class OptimizerOptions(Group):
    """Details of the optimisers. The hidden matrices are those that muon trains."""

    hidden_rate_factor: PositiveFloat = 2.0  # muon: their rate over the learning rate
    momentum: float = Field(0.95, ge=0, lt=1)  # muon: decay of their mean gradient
    basis_every: Count = 10  # soap: steps between updates of the eigenbases it works in


class BalancingOptions(Group):
    """ReLoBRaLo (Bischof and Kraus 2021): how the balance of the terms follows their progress."""

    temperature: PositiveFloat = 1.0  # small: the slowest term takes all; large: all terms alike
    decay: FractionOrOne = 0.999  # share of the balance kept in a step
    # probability that a step keeps the balance so far; otherwise it starts anew from the progress
    # since the first step
    lookback: float = Field(0.999, ge=0, le=1)


class RecordConfig(Group):
    """What is measured while training, and how often."""

    metrics_every: Literal["auto"] | Count = "auto"  # steps; see `inr.config.RunConfig`
    images_every: Count = 1000  # steps between TensorBoard images (at the next measurement)
    checkpoint_seconds: PositiveFloat = 60.0  # of training between checkpoints
    tensorboard: bool = True
