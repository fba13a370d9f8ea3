"""The Keras classes and functions that a spec may use. Each family has its own module."""

from fornada.spec.catalogue import (
    activations,
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)
from fornada.spec.catalogue.family import Family

FAMILIES: dict[str, Family] = {
    module.FAMILY.name: module.FAMILY
    for module in (
        layers,
        initializers,
        regularizers,
        constraints,
        activations,
        optimizers,
        schedules,
        losses,
        metrics,
        callbacks,
    )
}
