"""A spec against the classes of its data, once their folder is listed."""

from collections.abc import Sequence

from fornada.spec import Spec, classes
from worker.trainer.failures import TrainingFailed


def refuse_unfit(spec: Spec, class_names: Sequence[str]) -> None:
    """Compare a spec with the classes, before anything is decoded; what is doubtful is printed.

    Args:
        spec: as it was read: with "classes", and not with their number.
        class_names: in the order of their labels.

    Raises:
        TrainingFailed: SPEC_INVALID, with all that does not fit.
    """
    for warning in classes.warnings(spec, class_names):
        print(f"warning: {warning.path}: {warning.message}")
    if found := classes.problems(spec, class_names):
        message = "\n".join(f"{problem.path}: {problem.message}" for problem in found)
        raise TrainingFailed(found[0].code, message)
