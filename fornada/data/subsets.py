"""Chooses the files of each set of a spec from the listed folders, in the same way as Keras."""

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
    """The files of each set, in a fixed order; train comes first.

    Args:
        spec: its `data` section counts.
        listings: of the folders that the spec names, not shuffled.
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
    """The files of the folder's subset; all files if the spec gives no subset for the folder."""
    if folder.validation_split is None or folder.subset is None:
        return listing
    data = spec.data
    return subset(listing, folder.validation_split, folder.subset, data.seed, data.shuffle)


def warnings(spec: Spec, found: Mapping[Role, Listing]) -> list[Problem]:
    """Warnings about the files of the sets: what is probably a mistake.

    Args:
        spec: whose fields the warnings name.
        found: as `sets` returns it.
    """
    root = spec.at.without_problems()
    at = root.key("data")
    _accumulation(spec, len(found["train"].files), root)
    for role, listing in found.items():
        # The two parts of `data.validation_split` cannot have a file in common.
        split = role == "validation" and spec.data.validation is None
        here = at.key("validation_split" if split else role)
        if lost := _lost(listing):
            names = ", ".join(map(printable, lost))
            here.warn(f"{_place(listing)}: the {role} subset has no image of the classes {names}.")
        if role == "train" or split:
            continue
        if common := _common(found["train"], listing):
            here.warn(
                f"{_place(listing)}: {len(common)} of its {len(listing.files)} images are also "
                f"trained on, such as {printable(min(common))}, so the {role} results look better "
                "than they are."
            )
    _test_images_that_choose(spec, found, at)
    return at.reading.warnings


def _test_images_that_choose(spec: Spec, found: Mapping[Role, Listing], at: At) -> None:
    """Warn if images of the test set are also validated on, so that they choose the best model."""
    validation, test = found.get("validation"), found.get("test")
    # Both parts of `data.validation_split` come from the training folder.
    if validation is None or test is None or spec.data.validation is None:
        return
    if common := _common(validation, test):
        at.key("test").warn(
            f"{_place(test)}: {len(common)} of its {len(test.files)} images are also validated on, "
            f"such as {printable(min(common))}. They choose the best model, so the test results "
            "look better than they are."
        )


def _accumulation(spec: Spec, images: int, root: At) -> None:
    """Warn if the weights never change because more steps are accumulated than there are."""
    optimizer = spec.compile.optimizer
    every = optimizer.arguments.get("gradient_accumulation_steps")
    steps = -(-images // spec.data.batch_size) * spec.fit.epochs
    if isinstance(every, int) and every > steps:
        root.place_of(optimizer).key("gradient_accumulation_steps").warn(
            f"the weights change only after {every:,} steps, but all epochs together have "
            f"{steps:,}: the weights never change.\n  Expected at most {steps:,}."
        )


def _lost(listing: Listing) -> list[str]:
    """Classes that have images, but all of them in the other subset of the folder."""
    known = {*listing.empty, *listing.missing}
    return [name for name, count in listing.counts.items() if not count and name not in known]


def _place(listing: Listing) -> str:
    return printable(str(listing.folder))


def _common(one: Listing, other: Listing) -> set[str]:
    """The files that are in both listings, by their real paths.

    Real paths take long to find, so this happens only if the folders can have a common file.
    """
    if not (_linked(one) or _linked(other) or _nested(one, other)):
        return set()
    return set(_places(one)) & set(_places(other))


def _linked(listing: Listing) -> bool:
    """Whether some files of the listing lie elsewhere, because of symbolic links."""
    links = ((listing.folder / name).is_symlink() for name in listing.class_names)
    return bool(listing.links) or any(links)


def _nested(one: Listing, other: Listing) -> bool:
    first, second = one.folder.resolve(), other.folder.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def _places(listing: Listing) -> Iterator[str]:
    """The real paths of the listing's files."""
    classes = {name: os.path.realpath(listing.folder / name) for name in listing.class_names}
    for file in listing.files:
        name, _, rest = file.partition("/")
        path = f"{classes[name]}/{rest}"
        yield os.path.realpath(path) if file in listing.links else path
