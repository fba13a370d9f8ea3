"""What happens between epochs."""

from fornada.spec.catalogue.arguments import BOOLEAN, NONE_OR_MORE, NOT_NEGATIVE
from fornada.spec.catalogue.family import Family, Hand
from fornada.spec.kinds.compound import Nullable
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.plain import Choice, Number, Verbosity
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
        "Says which model is the best; the first one decides. The best model is always kept.",
        {
            **_MONITOR,
            "filepath": Label(),
            "save_best_only": BOOLEAN,
            "save_weights_only": BOOLEAN,
            "save_freq": Choice("epoch"),
            "initial_value_threshold": Nullable(Number()),
        },
        # A bare name, recorded; files have names of their own in the attempt's folder.
        defaults={"filepath": "best.keras"},
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
    "TerminateOnNaN": Hand("Stops when the loss is not a number.", {"raise_error": BOOLEAN}),
}
FAMILY = Family("callbacks", "a callback", CALLBACKS)
