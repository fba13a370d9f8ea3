"""Checks the folders of a spec. The commands, the client and the job all use this check.

It lists folders but does not read images. A problem is a reason for which a job would fail. A
warning is about something that is probably a mistake. Each names the field of the spec that it is
about.
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
from fornada.spec.spec import GivenFolders
from fornada.spec.wording import printable


@dataclass(frozen=True)
class Inspected:
    """One folder on this host, and what was found in it.

    Attributes:
        place: its path on this host.
        listing: its images; None if the folder cannot be listed.
        findings: problems and warnings.
    """

    place: Path
    listing: Listing | None
    findings: tuple[FolderFinding, ...]


@dataclass(frozen=True)
class Inspection:
    """What was found for one spec.

    Attributes:
        folders: by the set that each is for; train comes first.
        problems: reasons for which a job would fail.
        warnings: what is probably a mistake.
    """

    folders: Mapping[Role, Inspected]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    @property
    def listings(self) -> dict[Role, Listing]:
        """The listings of all folders that could be listed."""
        return {role: one.listing for role, one in self.folders.items() if one.listing}


@dataclass(frozen=True)
class _Request:
    """Everything that the findings of one folder depend on. The key for folders already checked.

    Attributes:
        stored: its path, relative to the data root.
        class_names: of training; None if they are not known.
        named: whether the spec names the classes.
        training: whether this is the training folder.
    """

    stored: str
    class_names: tuple[str, ...] | None
    named: bool
    training: bool = False


class Inspector:
    """Checks the folders of several specs. A folder that several specs name is listed only once.

    Args:
        data_root: folder that the paths of specs are relative to.
    """

    def __init__(self, data_root: Path) -> None:
        self._root = data_root
        self._known: dict[_Request, Inspected] = {}

    def inspect(self, spec: Spec) -> Inspection:
        """List and check the folders of a spec."""
        found, at, names = self._look_at(spec.folders)
        train = found["train"].listing
        if train and names:
            _label_mode(spec, train, at)
            at.reading.problems += classes.problems(spec, names)
            # If the spec names its classes, these warnings were given when it was read.
            named = spec.data.class_names is not None
            at.reading.warnings += [] if named else classes.warnings(spec, names)
        return Inspection(found, _sorted(at.reading.problems), _sorted(at.reading.warnings))

    def inspect_folders(self, folders: GivenFolders) -> Inspection:
        """List and check the folders of a spec that has problems elsewhere.

        If a field could not be read on which the findings depend, only folders that cannot be
        listed are reported.
        """
        found, at, _ = self._look_at(folders)
        if not folders.complete:
            found = {role: one for role, one in found.items() if one.listing is None}
            at = folders.at.without_problems()
            for role, one in found.items():
                _record(one.findings, at.key("data").key(role))
        return Inspection(found, _sorted(at.reading.problems), _sorted(at.reading.warnings))

    def _look_at(
        self, given: GivenFolders
    ) -> tuple[dict[Role, Inspected], At, tuple[str, ...] | None]:
        """What was found in each folder, the place that holds all findings, and the classes."""
        at, names = given.at.without_problems(), given.class_names
        named = names is not None
        found: dict[Role, Inspected] = {}
        for role, folder in given.by_role.items():
            training = role == "train"
            found[role] = one = self._folder(_Request(folder.folder, names, named, training))
            if training:
                names = names or _classes(one.listing)
        for role, one in found.items():
            _record(one.findings, at.key("data").key(role))
        _splits(given, found, at)
        return found, at, names

    def _folder(self, request: _Request) -> Inspected:
        if request not in self._known:
            self._known[request] = self._look(request)
        return self._known[request]

    def _look(self, request: _Request) -> Inspected:
        place = self._root / request.stored
        try:
            place = resolve(request.stored, self._root)
            listing = list_images(place, request.class_names)
        except PathRefused as error:
            return Inspected(place, None, (FolderFinding(str(error), error.code),))
        except OSError as error:
            return Inspected(place, None, (findings.cannot_be_listed(place, error),))
        if request.training:
            found = findings.in_training_folder(listing, self._root, named=request.named)
        else:
            known = request.class_names is not None
            found = findings.in_evaluation_folder(
                listing, self._root, known=known, named=request.named
            )
        return Inspected(place, listing, tuple(found))


def inspect(spec: Spec, data_root: Path) -> Inspection:
    """List and check the folders of one spec.

    Args:
        spec: its paths are relative to the data root.
        data_root: the data root on this host.
    """
    return Inspector(data_root).inspect(spec)


def sets_of(spec: Spec, found: Inspection) -> dict[Role, Listing]:
    """The files of each set, as the job counts them; empty if a job would fail on its folders.

    Args:
        spec: the spec.
        found: what was found in its folders.
    """
    return {} if found.problems else subsets.sets(spec, found.listings)


def all_warnings(
    spec: Spec, found: Inspection, sets: Mapping[Role, Listing] | None = None
) -> list[Problem]:
    """The warnings of an inspection, and the warnings that need the files of each set.

    The second kind takes longer, so `submit` does without it.

    Args:
        spec: the spec.
        found: what was found in its folders.
        sets: as `sets_of` returns it; None: they are chosen here.
    """
    chosen = sets_of(spec, found) if sets is None else sets
    return [*found.warnings, *(subsets.warnings(spec, chosen) if chosen else ())]


def before_submit(
    settings: Settings,
    specs: Iterable[Spec],
    warn: Callable[[Problem], None] = lambda problem: None,
) -> list[tuple[Problem, ...]]:
    """Check the folders of specs before they are queued.

    Args:
        settings: give the data root, and whether the worker runs on this machine.
        specs: already checked.
        warn: called with each warning before any problem is raised.
    Returns:
        The warnings of each spec. With a server they include the problems, because the workers
        may have other folders than this host.
    Raises:
        SpecProblems: with the problems of all specs. Only on an embedded stack: its worker uses
            these same folders, so the jobs would fail.
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
    """The classes of the training folder; None if it has fewer than two, so is a wrong folder."""
    return train.class_names if train and len(train.class_names) > 1 else None


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems in the order of the spec's lines."""
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))


def _record(found: Iterable[FolderFinding], here: At) -> None:
    for one in found:
        if one.code is None:
            here.warn(one.message)
        else:
            here.refuse(None, one.message, one.code)


def _splits(given: GivenFolders, found: Mapping[Role, Inspected], at: At) -> None:
    """Refuse a split that gives no image to validation.

    Keras would then train on no image and validate on all images.
    """
    places = {"train": (given.validation_split, at.key("data").key("validation_split"))}
    for role, folder in given.by_role.items():
        if folder.validation_split is not None:
            places[role] = (folder.validation_split, at.key("data").key(role))
    for role, one in found.items():
        split, here = places.get(role, (None, at))
        count = len(one.listing.files) if one.listing else 0
        if split and count and validation_count(count, split) == 0:
            here.refuse(
                None,
                f"{printable(str(one.place))}: {split} of {count} images is less than one image, "
                f"so there is none to validate on.\n  Expected a share above 1/{count}.",
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
