"""Schedules: learning rates that change from step to step."""

from fornada.spec.catalogue.arguments import BOOLEAN, COUNT, NONE_OR_MORE, NOT_NEGATIVE, POSITIVE
from fornada.spec.catalogue.family import Entry, Family
from fornada.spec.kinds.compound import ListOf, Nullable
from fornada.spec.kinds.plain import Integer
from fornada.spec.kinds.text import Label

SCHEDULES = {
    "ExponentialDecay": Entry(
        "The rate is multiplied by decay_rate every decay_steps steps.",
        {
            "initial_learning_rate": POSITIVE,
            "decay_steps": COUNT,
            "decay_rate": POSITIVE,
            "staircase": BOOLEAN,
            "name": Label(),
        },
    ),
    "CosineDecay": Entry(
        "The rate falls along a cosine over decay_steps steps, after a warm-up if one is given.",
        {
            "initial_learning_rate": NOT_NEGATIVE,
            "decay_steps": COUNT,
            "alpha": NOT_NEGATIVE,
            "name": Label(),
            "warmup_target": Nullable(POSITIVE),
            "warmup_steps": NONE_OR_MORE,
        },
    ),
    "PiecewiseConstantDecay": Entry(
        "One rate up to each boundary, in steps, and one rate after the last boundary.",
        {
            "boundaries": ListOf(Integer(minimum=0), ascending=True),
            "values": ListOf(POSITIVE, minimum=2),
            "name": Label(),
        },
    ),
}
FAMILY = Family("schedules", "a learning rate schedule", SCHEDULES)
