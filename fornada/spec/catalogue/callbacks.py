"""What happens between epochs."""

from fornada.spec.catalogue.arguments import BOOLEAN, NONE_OR_MORE, NOT_NEGATIVE
from fornada.spec.catalogue.family import Family, Hand
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
    "EarlyStopping": Hand(
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
    "ModelCheckpoint": Hand(
        "Saves the model, or the best one so far, under `filepath` in the job's folder, with "
        "Keras's placeholders such as {epoch:02d} and {val_loss:.2f}. The first one decides which "
        "model is the best: `best.keras`, which is always kept.",
        {
            **_MONITOR,
            "filepath": CheckpointFile(),
            "save_best_only": BOOLEAN,
            "save_weights_only": BOOLEAN,
            "save_freq": Choice("epoch"),
            "initial_value_threshold": Nullable(Number()),
        },
        # Keras has no default. The job keeps this file anyway.
        defaults={"filepath": BEST},
    ),
    "ReduceLROnPlateau": Hand(
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
    "SwapEMAWeights": Hand(
        "Measures, and saves, the averaged weights of an optimizer with use_ema: true. Stands "
        "before the callbacks that save.",
        # `false` would measure the averages and save what they are averages of.
        {"swap_on_epoch": OnlyTrue()},
        required=frozenset({"swap_on_epoch"}),
    ),
    "TerminateOnNaN": Hand(
        "Stops when the loss is not a number; the job ends as DIVERGED.", {"raise_error": BOOLEAN}
    ),
}
FAMILY = Family("callbacks", "a callback", CALLBACKS)
