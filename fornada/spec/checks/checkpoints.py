"""Checks the `filepath` of each ModelCheckpoint. No two may write the same file."""

from collections.abc import Iterable, Sequence

from fornada.spec import monitors
from fornada.spec.checks.draft import Draft
from fornada.spec.checks.validation import unvalidated
from fornada.spec.kinds.checkpoint_file import BEST, CHECKPOINT, example, is_reserved, placeholders
from fornada.spec.kinds.reading import At
from fornada.spec.values import KerasObject
from fornada.spec.wording import did_you_mean, listed

# Most files that one checkpoint may write. Each is as large as the model, and every training state
# keeps all of them.
MOST_FILES = 1_000
# A folder's name may not end like this: another checkpoint may have a file of that name.
_ENDINGS = (".keras", ".h5")


def check(draft: Draft, at: At) -> None:
    """Record the problems with the files of a spec's checkpoints."""
    checkpoints = [item for item in draft.callbacks if item.class_name == CHECKPOINT]
    files: list[str] = []
    for item in checkpoints:
        name, here = item.arguments.get("filepath"), at.place_of(item).key("filepath")
        if not isinstance(name, str):
            continue
        if example(name) in files:
            here.refuse(
                None,
                f"{name} is the file of an earlier {CHECKPOINT}.\n"
                f"  Expected another name, for example {_suggested(item)}.",
            )
        elif name == BEST:
            _check_best(item, at, first=item is checkpoints[0])
        else:
            _check_name(item, name, here)
            _check_placeholders(item, name, draft, here)
        files.append(example(name))


def _check_best(item: KerasObject, at: At, *, first: bool) -> None:
    """Check a checkpoint that writes `best.keras`."""
    here = at.place_of(item)
    if not first:
        here.key("filepath").refuse(
            None,
            f"only the first {CHECKPOINT} may write {BEST}.\n"
            f"  Expected another name, for example {_suggested(item)}.",
        )
    if item.arguments.get("initial_value_threshold") is not None:
        here.key("initial_value_threshold").refuse(
            None,
            f"has no effect on {BEST}: the best model is always kept.\n"
            f"  Expected a filepath beside it, for example {_suggested(item)}.",
        )


def _check_name(item: KerasObject, name: str, here: At) -> None:
    ending = ".weights.h5" if item.arguments.get("save_weights_only") else ".keras"
    if not name.endswith(ending):
        here.refuse(
            None,
            f"{name} does not end in {ending}.\n"
            f"  Expected {ending} with save_weights_only "
            f"{str(ending != '.keras').lower()}, as in Keras.",
        )
    if any(part.endswith(_ENDINGS) for part in example(name).split("/")[:-1]):
        here.refuse(
            None,
            f"a folder of {name} has the ending of a model file.\n  Expected another folder.",
        )
    elif is_reserved(example(name)):
        here.refuse(
            None,
            f"the job itself writes files with the name {name}.\n"
            f"  Expected another name, for example my-{name}.",
        )


def _check_placeholders(item: KerasObject, name: str, draft: Draft, here: At) -> None:
    names = placeholders(name)
    known = ("epoch", *_logged_before(item, draft))
    for wrong in (one for one in names if one not in known):
        how = unvalidated(wrong, draft)
        here.refuse(
            None,
            f"{{{wrong}}} is never produced"
            f"{' before this callback' if wrong == monitors.LEARNING_RATE else ''}.{how}\n"
            f"  Expected one of: {listed(known)}.{'' if how else did_you_mean(wrong, known)}",
        )
    epochs = draft.fit.get("epochs")
    if names and isinstance(epochs, int) and epochs > MOST_FILES:
        here.refuse(
            None,
            f"{name} may give {epochs:,} files.\n"
            f"  Expected a name without placeholders, or at most {MOST_FILES:,} epochs.",
        )


def _logged_before(item: KerasObject, draft: Draft) -> Sequence[str]:
    """Names in the logs when a callback is called. Callbacks before it may have added names."""
    before: Iterable[KerasObject] = draft.callbacks[: _position(item, draft.callbacks)]
    return monitors.produces(draft.metrics, tuple(before), validates=draft.validates)


def _position(item: KerasObject, items: Sequence[KerasObject]) -> int:
    return next(place for place, one in enumerate(items) if one is item)


def _suggested(item: KerasObject) -> str:
    monitor = item.arguments.get("monitor")
    ending = ".weights.h5" if item.arguments.get("save_weights_only") else ".keras"
    return f"{monitor if isinstance(monitor, str) else 'second'}{ending}"
