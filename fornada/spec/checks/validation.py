"""Says how to validate, for a spec that names `val_loss` and does not validate."""

from fornada.spec.checks.draft import Draft


def unvalidated(name: str, draft: Draft) -> str:
    """The line of a message that says how to get a validation; empty if that does not help.

    Without it, the nearest name would be that of the training set: a training that stops on
    `loss` stops when it has learned its images by heart.

    Args:
        name: a name that this spec never produces.
        draft: the spec.
    """
    if draft.validates or not name.startswith("val_"):
        return ""
    train = draft.data.get("train")
    # A spec that gives a subset of train may not give validation_split.
    split = "" if train and train.subset else "data.validation_split: 0.1, or "
    return f"\n  Expected {split}a folder as data.validation: this spec does not validate."
