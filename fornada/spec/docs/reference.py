"""The reference page of the spec, generated from the fields that read a spec."""

import json
from collections.abc import Iterator

from fornada.spec.catalogue import FAMILIES
from fornada.spec.catalogue.family import Family
from fornada.spec.catalogue.signatures import keras_version
from fornada.spec.changes import CHANGES
from fornada.spec.datafolder import Folder, Validation
from fornada.spec.kinds.fields import Fields
from fornada.spec.sections import COMPILE, DATA, FIT, RESOURCES, RETRY, TOP, Section
from fornada.spec.source.limits import MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_PARAMETERS

_HEAD = """\
<!-- Written by `python -P -m fornada.spec docs`; a test fails when it is stale. -->
# The spec

A spec says what to train. It is Keras written as YAML: an item is the name of a Keras class with
its keyword arguments. Names, arguments and defaults are those of Keras {keras}.

```yaml
name: digits-cnn
data:
  train: Data/Train               # one sub-folder for each class
  test: Data/Test                 # the best model is evaluated on it, once
  image_size: [28, 28]
  batch_size: 64
  validation_split: 0.1           # or validation: Data/Valid, or a subset of a folder, see below
  seed: 1
model:
  - Rescaling: {{scale: 1/255}}
  - Conv2D: {{filters: 32, kernel_size: 3, activation: relu}}
  - MaxPooling2D: {{pool_size: [2, 2], strides: null, padding: valid}}
  - Flatten
  - Dense: {{units: 64, activation: relu, kernel_initializer: RandomNormal}}
  - Dropout: {{rate: 0.2}}
  - Dense: {{units: classes, activation: softmax}}
compile:
  optimizer: {{Adam: {{learning_rate: 0.001}}}}
  loss: SparseCategoricalCrossentropy
  metrics: [sparse_categorical_accuracy]
fit: {{epochs: 100}}
callbacks:
  - EarlyStopping: {{monitor: val_loss, patience: 5}}
  - ModelCheckpoint: {{monitor: val_loss, mode: min, save_best_only: true}}
```

`fornada check SPEC` reports everything that is wrong with a spec: the line, the place in the spec
and the nearest right name. `fornada render SPEC` prints a spec with every default written out.

Two mistakes are only warnings: a last layer that does not fit its loss, such as a model without
softmax under `SparseCategoricalCrossentropy`, and a metric that expects probabilities from a model
that gives logits, or logits from one that gives probabilities. Keras trains such a model too, but
its numbers do not mean what you expect. `check`, `submit`, `run` and the job's log warn about it.

## How values are written

- **A class** is written as its name (`Flatten`, `RandomNormal`), or as its name with arguments
  (`{{RandomNormal: {{stddev: 0.05}}}}`). Initializers, regularizers, constraints, optimizers and
  losses may also have Keras's lower-case names (`random_normal`, `l2`, `adam`).
- **A number** may be a fraction (`1/255`) or have an exponent (`1e-3`). Where an integer is
  expected, `64.0` is refused.
- **`classes`**, in an integer argument, means the number of classes in the data.
- **A size** with a height and a width is one number for both, or a list of two.
- **true and false** are the only booleans: `yes`, `no`, `on` and `off` are text.
- **An argument without effect** is refused if it differs from its default: `bias_regularizer`
  beside `use_bias: false`, `nesterov: true` without `momentum`, or `fill_value` beside a
  `fill_mode` other than `constant`.
- **A time** is `2h`, `90m`, `1h30m`, `45s` or a number of seconds.
- **A folder** is relative to your current folder, or absolute. It must lie under the data root
  (`FORNADA_DATA_ROOT`; when everything runs on one machine, any readable folder is allowed). `..`
  and `~` are refused, and so are links that lead out of the data root.
- **`--set`** changes values of a spec: `--set data.batch_size=128`,
  `--set compile.optimizer.Adam.learning_rate=1/1000`, `--set callbacks.EarlyStopping.patience=3`.
  An item of a list is named by its index, from 0 as in `model.layers[3]`
  (`--set model.3.Dense.units=32`), or by its class if only one item has this class.

A spec has at most {bytes} bytes and {nodes:,} values, and its lists and mappings are nested at most
{depth} deep. Tags, anchors, names given twice, NaN and infinity are refused. A model has at most
{parameters:,} parameters; a worker may allow fewer.
"""

_SUBSETS = """\
`train`, `validation` and `test` are each a folder, or a subset of a folder. A subset has the same
files that Keras's `image_dataset_from_directory` gives for the same `validation_split`, `subset`,
`seed` and `shuffle`. `specs/owner.yaml` trains on 90 % of `Data/Train` (1,800 of its 2,000 images)
and validates on 10 % of `Data/Test` (50 of its 500 images):

```yaml
train: {folder: Data/Train, validation_split: 0.1, subset: training}
validation: {folder: Data/Test, validation_split: 0.1, subset: validation}
```

`validation: {folder: Data/Test, split: 0.1}` is a short form of the second line. Without `shuffle`,
a subset is the end or the beginning of the sorted list of files, so whole classes are missing; a
warning says so. If a file is used for training and also for validation or test, `check --data` and
the job's log warn about it.

`fornada check --data`, `fornada data check`, `fornada submit` and the job report the same problems
with folders, in the same words. Two things are refused: a class without images in `train`, and a
class of `train` without a folder in `validation` or `test`. Two things give a warning: a folder in
`validation` or `test` that is not a class of `train`, which is ignored, and a class there without
images.
"""
_MODES = """\
The loss decides which `label_mode` the data needs:

| loss | label_mode | outputs of the last layer |
| --- | --- | --- |
| `SparseCategoricalCrossentropy` | `int` | one for each class |
| `CategoricalCrossentropy` | `categorical` | one for each class |
| `BinaryCrossentropy` | `binary` | 1 |
"""
_MONITORS = """\
A `monitor` is a name that the training produces: `loss`, the name of each metric, and with
validation the same names with `val_` before them. A monitor that is never produced is an error.
`mode: auto` is `min` for the loss and `max` for the metrics, because every metric here is better
when it is higher. The first `ModelCheckpoint` decides which model is the best. Without a
`ModelCheckpoint`, the best model is the one with the lowest `val_loss`, or with the lowest `loss`
if there is no validation. `best.keras` is always kept: it holds the weights that gave the recorded
value.

A `ModelCheckpoint` with a `filepath` writes that file as Keras does, into the attempt's folder and
beside `best.keras`. Keras's placeholders and sub-folders are allowed:
`checkpoints/{epoch:02d}-{val_loss:.2f}.keras`. The files are recorded as artifacts of the kind
`checkpoint`, and a resumed job has the same files as a job that was never stopped. Only the first
`ModelCheckpoint` may leave out `filepath`. It then keeps `best.keras`; with `save_weights_only:
true` also `best.weights.h5`, and with `save_best_only: false` also `last.keras`. A
`ModelCheckpoint` with an `initial_value_threshold` always needs a `filepath`.

`last.keras` is written after each epoch and once more at the end. At the end it holds what Keras's
model holds after `fit`: if `EarlyStopping` restores the best weights, it holds these.

With `use_ema: true` the optimizer also computes averaged weights. `last.keras` is then always
written and holds the averaged weights; `best.keras` holds the weights that were evaluated, which
are not averaged. With `SwapEMAWeights: {swap_on_epoch: true}` before the callbacks that save, the
averaged weights are evaluated, and `best.keras` holds them. If `EarlyStopping` then ends the
training and restores no weights, Keras leaves the weights that are not averaged in the model, so
`last.keras` holds those.
"""
_WEIGHTS = """
In `class_weight` an integer is the index of a class, as in Keras, and a key in quotes is the name
of its folder: with the folders `1`, `2` and `3`, `{0: 2}` and `{"1": 2}` mean the same class.
`balanced` gives each class the weight images / (classes * images of the class), so that all classes
together count the same. Only classes with images to train on are counted.
"""
_CHANGES = """
## Changes of meaning

A spec that uses one of these features has another hash than in the version before. So `submit
--needed` does not accept older results for it, and no earlier training state is continued. A job
that was queued before the upgrade runs with the new meaning, and its log says so.

| from version | what |
| --- | --- |
"""
_TITLES = {
    "layers": "Layers",
    "activations": "Activations",
    "initializers": "Initializers",
    "regularizers": "Regularizers",
    "constraints": "Constraints",
    "optimizers": "Optimizers",
    "schedules": "Learning rate schedules",
    "losses": "Losses",
    "metrics": "Metrics",
    "callbacks": "Callbacks",
}
_NOTES = {"losses": _MODES, "callbacks": _MONITORS}


def page() -> str:
    """The page as Markdown."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield _HEAD.format(
        keras=keras_version(),
        bytes=f"{MAX_BYTES:,}",
        nodes=MAX_NODES,
        depth=MAX_DEPTH,
        parameters=MAX_PARAMETERS,
    )
    yield "## Sections\n"
    yield from _table(TOP)
    for fields in (DATA, Folder.fields, Validation.fields, COMPILE, FIT, RESOURCES, RETRY):
        yield f"\n### {fields.owner}\n"
        yield from _table(fields)
        if fields is FIT:
            yield _WEIGHTS.rstrip("\n")
        if fields is DATA:
            yield f"\n{_SUBSETS.rstrip()}"
    for name, title in _TITLES.items():
        yield f"\n## {title}\n"
        if name in _NOTES:
            yield _NOTES[name]
        yield from _family(FAMILIES[name])
    yield _CHANGES.strip("\n")
    for change in CHANGES:
        yield f"| {change.version} | {change.what} |"


def _table(fields: Fields) -> Iterator[str]:
    described = any(field.about for field in fields.fields.values())
    yield f"| {fields.noun} | expected | default |{' meaning |' if described else ''}"
    yield f"| --- | --- | --- |{' --- |' if described else ''}"
    for name, field in fields.fields.items():
        default = "required" if field.required else f"`{_written(field.default)}`"
        if isinstance(field.kind, Section) and not field.required:
            default = "those of its fields"
        about = f" {field.about} |" if described else ""
        yield f"| `{name}` | {_cell(field.kind.words)} | {default} |{about}"


def _family(family: Family) -> Iterator[str]:
    """One table of the classes without arguments, then one section for each other class."""
    without_arguments = [name for name in family.entries if not family.arguments[name].fields]
    if without_arguments:
        yield "| name | meaning |"
        yield "| --- | --- |"
        for name in without_arguments:
            yield f"| `{name}` | {_cell(family.entries[name].about)} |"
        yield ""
    for name, entry in family.entries.items():
        if name not in without_arguments:
            yield f"### {name}{_other_spellings(family, name)}\n"
            yield f"{entry.about}\n"
            yield from _table(family.arguments[name])
            yield ""


def _other_spellings(family: Family, name: str) -> str:
    others = sorted(other for other, means in family.aliases.items() if means == name)
    return f" (or {', '.join(others)})" if others and family.name != "activations" else ""


def _cell(text: str) -> str:
    # The head of the page already says how a class is written.
    return text.replace(", as a name or as {name: {argument: value}}", "").replace("|", "\\|")


def _written(default: object) -> str:
    return default if isinstance(default, str) else json.dumps(default)
