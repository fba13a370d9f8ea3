"""Learning rates that change by the step."""

from fornada.spec.catalogue.arguments import BOOLEAN, COUNT, NONE_OR_MORE, NOT_NEGATIVE, POSITIVE
from fornada.spec.catalogue.family import Family, Hand
from fornada.spec.kinds.compound import ListOf, Nullable
from fornada.spec.kinds.plain import Integer
from fornada.spec.kinds.text import Label

SCHEDULES = {
    "ExponentialDecay": Hand(
        "Multiplied by decay_rate every decay_steps steps.",
        {
            "initial_learning_rate": POSITIVE,
            "decay_steps": COUNT,
            "decay_rate": POSITIVE,
            "staircase": BOOLEAN,
            "name": Label(),
        },
    ),
    "CosineDecay": Hand(
        "Down along a cosine over decay_steps steps, after a warm-up if there is one.",
        {
            "initial_learning_rate": NOT_NEGATIVE,
            "decay_steps": COUNT,
            "alpha": NOT_NEGATIVE,
            "name": Label(),
            "warmup_target": Nullable(POSITIVE),
            "warmup_steps": NONE_OR_MORE,
        },
    ),
    "PiecewiseConstantDecay": Hand(
        "One value up to each boundary, in steps, and one after the last.",
        {
            "boundaries": ListOf(Integer(minimum=0), ascending=True),
            "values": ListOf(POSITIVE, minimum=2),
            "name": Label(),
        },
    ),
}
FAMILY = Family("schedules", "a learning rate schedule", SCHEDULES)
