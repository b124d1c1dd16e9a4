"""Loss weights, details of schedules, optimisers and balancing: groups inside `inr.config`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
        if isinstance(given, (list, tuple)):
            if len(given) != 4:
                raise ValueError(
                    f"{len(given)} weights given, 4 needed: "
                    "[value, gradient, laplacian, time_derivative]"
                )
            return dict(zip(cls.model_fields, given, strict=True))
        return given

    @model_validator(mode="after")
    def _something_to_learn(self) -> LossWeights:
        if not any(self.as_tuple()):
            raise ValueError("all four weights are 0: at least one must be positive")
        return self

    def as_tuple(self) -> tuple[float, float, float, float]:
        """The weights in the order value, gradient, laplacian, time_derivative."""
        return (self.value, self.gradient, self.laplacian, self.time_derivative)

    def label(self) -> str:
        """The weights as a directory name, for example ``1_0.01_0.001_0``."""
        return "_".join(f"{weight:.12g}" for weight in self.as_tuple())


class ScheduleOptions(Group):
    """Shape of the learning-rate schedules, as fractions of a run and of the learning rate."""

    final_fraction: FractionOrOne = Field(
        0.01, description="exponential, cosine: last over peak rate"
    )
    milestones: tuple[Fraction, ...] = Field(
        (0.25, 0.5, 0.75), description="multi_step: where the rate drops, fractions of the run"
    )
    factor: FractionOrOne = Field(0.1, description="multi_step: the rate is multiplied by this")
    cycles: int = Field(2, ge=1, description="cyclic: triangles per run")
    floor_fraction: FractionOrOne = Field(0.001, description="cyclic: lowest over peak rate")
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="cosine: linear warm-up, fraction of the run"
    )

    @model_validator(mode="after")
    def _milestones_rise(self) -> ScheduleOptions:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, got {list(self.milestones)}")
        return self


class OptimizerOptions(Group):
    """Details of the optimisers."""

    hidden_rate_factor: float = Field(
        2.0, gt=0, description="muon: rate of the hidden matrices over the learning rate"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.95, description="muon: decay of the mean gradient of the hidden matrices"
    )
    basis_every: int = Field(
        10, ge=1, description="soap: steps between updates of the eigenbases it works in"
    )


class BalancingOptions(Group):
    """ReLoBRaLo (Bischof and Kraus 2021): how the balance of the terms follows their progress."""

    temperature: float = Field(
        1.0, gt=0, description="small: the slowest term takes all; large: all terms alike"
    )
    decay: FractionOrOne = Field(0.999, description="share of the balance kept in a step")
    lookback: Annotated[float, Field(ge=0, le=1)] = Field(
        0.999,
        description=(
            "probability that a step keeps the balance so far; otherwise it starts anew from the "
            "progress since the first step"
        ),
    )
