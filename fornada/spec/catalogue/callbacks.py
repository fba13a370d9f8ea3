"""Callbacks: they act at the end of each epoch."""

from fornada.spec.catalogue.arguments import BOOLEAN, NONE_OR_MORE, NOT_NEGATIVE
from fornada.spec.catalogue.family import Entry, Family
from fornada.spec.kinds.checkpoint_file import BEST, CheckpointFile
from fornada.spec.kinds.compound import Nullable
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.plain import Choice, Number, OnlyTrue, Verbosity
from fornada.spec.kinds.text import Label

_MONITOR: dict[str, Kind] = {
    "monitor": Label(),
    "verbose": Verbosity(),
    "mode": Choice("auto", "min", "max"),
}

CALLBACKS = {
    "EarlyStopping": Entry(
        "Stops when the monitor has not improved for `patience` epochs.",
        {
            **_MONITOR,
            "min_delta": NOT_NEGATIVE,
            "patience": NONE_OR_MORE,
            "baseline": Nullable(Number()),
            "restore_best_weights": BOOLEAN,
            "start_from_epoch": NONE_OR_MORE,
        },
    ),
    "ModelCheckpoint": Entry(
        "Saves the model, or the best one so far, as `filepath` in the job's folder. `filepath` "
        "may have Keras's placeholders such as {epoch:02d} and {val_loss:.2f}. The first "
        "ModelCheckpoint decides which model is the best; that model is always kept as "
        "`best.keras`.",
        {
            **_MONITOR,
            "filepath": CheckpointFile(),
            "save_best_only": BOOLEAN,
            "save_weights_only": BOOLEAN,
            "save_freq": Choice("epoch"),
            "initial_value_threshold": Nullable(Number()),
        },
        # Keras has no default. The job keeps this file in any case.
        defaults={"filepath": BEST},
    ),
    "ReduceLROnPlateau": Entry(
        "Multiplies the learning rate by `factor` when the monitor has not improved for "
        "`patience` epochs.",
        {
            **_MONITOR,
            "factor": Number(above=0, below=1),
            "patience": NONE_OR_MORE,
            "min_delta": NOT_NEGATIVE,
            "cooldown": NONE_OR_MORE,
            "min_lr": NOT_NEGATIVE,
        },
    ),
    "SwapEMAWeights": Entry(
        "Evaluates and saves the averaged weights of an optimizer with use_ema: true. It must come "
        "before the callbacks that save.",
        # With `false`, Keras would evaluate the averaged weights and save the others.
        {"swap_on_epoch": OnlyTrue()},
        required=frozenset({"swap_on_epoch"}),
    ),
    "TerminateOnNaN": Entry(
        "Stops when the loss is not a finite number; the job ends as DIVERGED.",
        {"raise_error": BOOLEAN},
    ),
}
FAMILY = Family("callbacks", "a callback", CALLBACKS)
