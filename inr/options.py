"""Details of schedules, optimisers and balancing: groups of fields inside `inr.config`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(gt=0, lt=1)]
FractionOrOne = Annotated[float, Field(gt=0, le=1)]


class Group(BaseModel):
    """Fields that belong together: frozen, complete, finite, nothing unknown."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )


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
