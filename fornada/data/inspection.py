"""One verdict on the folders of a spec: the commands, the client and the job ask it here.

It lists folders and reads no image. Why a job would fail is a problem; what a job would do that is
most likely not meant is a warning. Both stand at the field of the spec that they are about.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fornada.data import findings, subsets
from fornada.data.findings import FolderFinding
from fornada.data.folders import Listing, list_images, validation_count
from fornada.db.states import FailureCode
from fornada.settings import Settings
from fornada.spec import PathRefused, Problem, Role, Spec, SpecProblems
from fornada.spec.checks import classes
from fornada.spec.kinds.reading import At
from fornada.spec.paths import resolve
from fornada.spec.wording import printable


@dataclass(frozen=True)
class Inspected:
    """One folder as it lies here.

    Attributes:
        place: where it is on this host.
        listing: what is in it; None when it cannot be listed.
        findings: problems and warnings.
    """

    place: Path
    listing: Listing | None
    findings: tuple[FolderFinding, ...]


@dataclass(frozen=True)
class Inspection:
    """What was found for one spec.

    Attributes:
        folders: by the set that is taken from each; train comes first.
        problems: why a job would fail.
        warnings: what a job would do that is most likely not meant.
    """

    folders: Mapping[Role, Inspected]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    @property
    def listings(self) -> dict[Role, Listing]:
        """What could be listed."""
        return {role: one.listing for role, one in self.folders.items() if one.listing}


@dataclass(frozen=True)
class _Asked:
    """What decides the findings of one folder.

    Attributes:
        stored: its path, relative to the data root.
        class_names: of training; None where nothing tells them.
        named: whether the spec names them.
        training: whether the folder is the one to train on.
    """

    stored: str
    class_names: tuple[str, ...] | None
    named: bool
    training: bool = False


class Inspector:
    """Looks at the folders of specs; a folder that several specs name is listed once.

    Args:
        data_root: what the paths of specs are relative to.
    """

    def __init__(self, data_root: Path) -> None:
        self._root = data_root
        self._known: dict[_Asked, Inspected] = {}

    def inspect(self, spec: Spec) -> Inspection:
        """List the spec's folders and judge them."""
        data, at = spec.data, spec.at.without_problems()
        named = data.class_names is not None
        train = self._folder(_Asked(data.train.folder, data.class_names, named, training=True))
        names = data.class_names or _classes(train.listing)
        folders: dict[Role, Inspected] = {"train": train}
        for role, given in data.folders.items():
            if role != "train":
                folders[role] = self._folder(_Asked(given.folder, names, named))
        for role, one in folders.items():
            _record(one.findings, at.key("data").key(role))
        _splits(spec, folders, at)
        if train.listing and names:
            _label_mode(spec, train.listing, at)
            at.reading.problems += classes.problems(spec, names)
            # Where the spec names its classes it was warned of as it was read.
            at.reading.warnings += [] if named else classes.warnings(spec, names)
        return Inspection(folders, _sorted(at.reading.problems), _sorted(at.reading.warnings))

    def _folder(self, asked: _Asked) -> Inspected:
        if asked not in self._known:
            self._known[asked] = self._look(asked)
        return self._known[asked]

    def _look(self, asked: _Asked) -> Inspected:
        place = self._root / asked.stored
        try:
            place = resolve(asked.stored, self._root)
            listing = list_images(place, asked.class_names)
        except PathRefused as error:
            return Inspected(place, None, (FolderFinding(str(error), error.code),))
        except OSError as error:
            return Inspected(place, None, (findings.unlisted(place, error),))
        if asked.training:
            found = findings.of_training(listing, self._root, named=asked.named)
        else:
            known = asked.class_names is not None
            found = findings.of_measured(listing, self._root, known=known, named=asked.named)
        return Inspected(place, listing, tuple(found))


def inspect(spec: Spec, data_root: Path) -> Inspection:
    """List the folders of one spec and judge them.

    Args:
        spec: its paths are relative to the data root.
        data_root: where that is on this host.
    """
    return Inspector(data_root).inspect(spec)


def all_warnings(spec: Spec, found: Inspection) -> list[Problem]:
    """The warnings of an inspection, and those that only the files of each set show.

    A submit does without the latter, which take longer.
    """
    warnings = list(found.warnings)
    if not found.problems:
        warnings += subsets.warnings(spec, subsets.sets(spec, found.listings))
    return warnings


def before_submit(
    settings: Settings,
    specs: Iterable[Spec],
    warn: Callable[[Problem], None] = lambda problem: None,
) -> list[tuple[Problem, ...]]:
    """Look at the folders of specs that are to be queued.

    Args:
        settings: the data root, and whether the worker is on this machine.
        specs: checked.
        warn: told every warning at once, also where a problem refuses the specs.
    Returns:
        The warnings of each spec. With a server its problems are among them: the workers may
        have other folders than this host.
    Raises:
        SpecProblems: on an embedded stack, whose worker sees just these folders, a job would
            fail; with the problems of all specs.
    """
    inspector = Inspector(settings.data_root_path)
    found = [inspector.inspect(spec) for spec in specs]
    problems = [problem for one in found for problem in one.problems]
    warnings = [
        one.warnings if settings.embedded else (*one.warnings, *one.problems) for one in found
    ]
    for warning in (warning for its in warnings for warning in its):
        warn(warning)
    if problems and settings.embedded:
        raise SpecProblems(problems)
    return warnings


def _classes(train: Listing | None) -> tuple[str, ...] | None:
    """The classes that a training folder has, where it can be the right folder."""
    return train.class_names if train and len(train.class_names) > 1 else None


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """As the spec has them, from top to bottom."""
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))


def _record(found: Iterable[FolderFinding], here: At) -> None:
    for one in found:
        if one.code is None:
            here.warn(one.message)
        else:
            here.refuse(None, one.message, one.code)


def _splits(spec: Spec, folders: Mapping[Role, Inspected], at: At) -> None:
    """Keras validates on everything where a split leaves no image, and trains on nothing."""
    places = {"train": (spec.data.validation_split, at.key("data").key("validation_split"))}
    for role, given in spec.data.folders.items():
        if given.validation_split is not None:
            places[role] = (given.validation_split, at.key("data").key(role))
    for role, one in folders.items():
        split, here = places.get(role, (None, at))
        count = len(one.listing.files) if one.listing else 0
        if split and count and validation_count(count, split) == 0:
            here.refuse(
                None,
                f"{printable(str(one.place))}: {split} of {count} images is no image to validate "
                f"on.\n  Expected a share above 1/{count}.",
                FailureCode.DATA_MISSING,
            )


def _label_mode(spec: Spec, listing: Listing, at: At) -> None:
    count = len(listing.class_names)
    if spec.data.label_mode == "binary" and count != 2:
        at.key("data").key("label_mode").refuse(
            None,
            f"{printable(str(listing.folder))}: label_mode binary needs exactly 2 classes, "
            f"not {count}.\n  Expected int or categorical.",
            FailureCode.DATA_INVALID,
        )
