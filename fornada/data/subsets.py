"""The files that each set of a spec uses, as Keras takes them from the listed folders."""

import os
from collections.abc import Iterator, Mapping
from typing import Literal

from fornada.data.folders import Listing, shuffled, subset
from fornada.spec import DataFolder, Problem, Role, Spec
from fornada.spec.kinds.reading import At
from fornada.spec.wording import printable

_PARTS: tuple[tuple[Role, Literal["training", "validation"]], ...] = (
    ("train", "training"),
    ("validation", "validation"),
)


def sets(spec: Spec, listings: Mapping[Role, Listing]) -> dict[Role, Listing]:
    """The files of each set, in their fixed order; train comes first.

    Args:
        spec: its `data` section.
        listings: of the folders that it names, not shuffled.
    """
    data = spec.data
    found = {role: taken(spec, folder, listings[role]) for role, folder in data.folders.items()}
    if data.validation_split:
        both = shuffled(listings["train"], data.seed) if data.shuffle else listings["train"]
        for role, part in _PARTS:
            found[role] = subset(both, data.validation_split, part, data.seed, shuffle=False)
    elif data.shuffle and not data.train.subset:
        found["train"] = shuffled(listings["train"], data.seed)
    return found


def taken(spec: Spec, folder: DataFolder, listing: Listing) -> Listing:
    """The files of a folder that its subset has; all of them where it has none."""
    if folder.validation_split is None or folder.subset is None:
        return listing
    data = spec.data
    return subset(listing, folder.validation_split, folder.subset, data.seed, data.shuffle)


def warnings(spec: Spec, found: Mapping[Role, Listing]) -> list[Problem]:
    """What the files of the sets have that is most likely not meant.

    Args:
        spec: where its fields stand.
        found: what `sets` returned.
    """
    root = spec.at.without_problems()
    at = root.key("data")
    _accumulation(spec, len(found["train"].files), root)
    for role, listing in found.items():
        # The two parts of one split have no file in common.
        split = role == "validation" and spec.data.validation is None
        here = at.key("validation_split" if split else role)
        if lost := _lost(listing):
            names = ", ".join(map(printable, lost))
            here.warn(f"{_place(listing)}: its {role} subset has no image of the classes {names}.")
        if role == "train" or split:
            continue
        if common := _common(found["train"], listing):
            here.warn(
                f"{_place(listing)}: {len(common)} of its {len(listing.files)} images are trained "
                f"on too, such as {printable(min(common))}: what they measure looks too good."
            )
    return at.reading.warnings


def _accumulation(spec: Spec, images: int, root: At) -> None:
    """Weights change once in so many steps: perhaps never."""
    optimizer = spec.compile.optimizer
    every = optimizer.arguments.get("gradient_accumulation_steps")
    steps = -(-images // spec.data.batch_size) * spec.fit.epochs
    if isinstance(every, int) and every > steps:
        root.place_of(optimizer).key("gradient_accumulation_steps").warn(
            f"{every:,} steps are gathered before the weights change, and all epochs together have "
            f"{steps:,}: the model stays as it was drawn.\n  Expected at most {steps:,}."
        )


def _lost(listing: Listing) -> list[str]:
    """Classes whose images are all in the other subset of the folder."""
    known = {*listing.empty, *listing.missing}
    return [name for name, count in listing.counts.items() if not count and name not in known]


def _place(listing: Listing) -> str:
    return printable(str(listing.folder))


def _common(one: Listing, other: Listing) -> set[str]:
    if not (_linked(one) or _linked(other) or _nested(one, other)):
        return set()
    return set(_places(one)) & set(_places(other))


def _linked(listing: Listing) -> bool:
    """Whether some of its files lie elsewhere."""
    links = ((listing.folder / name).is_symlink() for name in listing.class_names)
    return bool(listing.links) or any(links)


def _nested(one: Listing, other: Listing) -> bool:
    first, second = one.folder.resolve(), other.folder.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def _places(listing: Listing) -> Iterator[str]:
    """Where its files really lie."""
    classes = {name: os.path.realpath(listing.folder / name) for name in listing.class_names}
    for file in listing.files:
        name, _, rest = file.partition("/")
        path = f"{classes[name]}/{rest}"
        yield os.path.realpath(path) if file in listing.links else path
