"""Optimizers: they change the weights along the gradient."""

from fornada.spec.catalogue import schedules
from fornada.spec.catalogue.arguments import (
    BOOLEAN,
    COUNT,
    DECAY,
    NAME,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
)
from fornada.spec.catalogue.family import Entry, Family
from fornada.spec.catalogue.objects import Object
from fornada.spec.kinds.compound import Either, Nullable
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.plain import Integer

_EVERY: dict[str, Kind] = {
    "learning_rate": Either(POSITIVE, Object(schedules.FAMILY)),
    "weight_decay": Nullable(NOT_NEGATIVE),
    "clipnorm": Nullable(POSITIVE),
    "clipvalue": Nullable(POSITIVE),
    "global_clipnorm": Nullable(POSITIVE),
    "use_ema": BOOLEAN,
    "ema_momentum": SHARE,
    "ema_overwrite_frequency": Nullable(COUNT),
    "loss_scale_factor": Nullable(POSITIVE),
    "gradient_accumulation_steps": Nullable(Integer(minimum=2)),
    "name": NAME,
}
_ADAM = {
    **_EVERY,
    "beta_1": DECAY,
    "beta_2": DECAY,
    "epsilon": POSITIVE,
    "amsgrad": BOOLEAN,
}

OPTIMIZERS = {
    "Adam": Entry("Steps scaled by running means of the gradient and its square.", _ADAM),
    "AdamW": Entry(
        "Adam with weight decay; the decay does not enter the running means.",
        {**_ADAM, "weight_decay": NOT_NEGATIVE},
    ),
    "RMSprop": Entry(
        "Steps scaled by a running mean of the gradient's square.",
        {
            **_EVERY,
            "rho": DECAY,
            "momentum": NOT_NEGATIVE,
            "epsilon": POSITIVE,
            "centered": BOOLEAN,
        },
    ),
    "SGD": Entry(
        "Steps along the gradient, with momentum if it is above 0.",
        {**_EVERY, "momentum": SHARE, "nesterov": BOOLEAN},
    ),
}
FAMILY = Family(
    "optimizers",
    "an optimizer",
    OPTIMIZERS,
    {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"},
)
