"""The reference page of the spec, generated from the same fields that read it."""

import json
from collections.abc import Iterator

from fornada.spec.catalogue import FAMILIES
from fornada.spec.catalogue.family import Family
from fornada.spec.catalogue.signatures import keras_version
from fornada.spec.changes import CHANGES
from fornada.spec.datafolder import Folder, Validation
from fornada.spec.kinds.fields import Fields
from fornada.spec.limits import MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_PARAMETERS
from fornada.spec.sections import COMPILE, DATA, FIT, RESOURCES, RETRY, TOP, Section

_HEAD = """\
<!-- Written by `python -P -m fornada.spec docs`; a test fails when it is stale. -->
# The spec

A spec says what to train. It is Keras spelled in YAML: an item is the name of a Keras class, with
its own keyword arguments. Names, arguments and defaults are those of Keras {keras}.

```yaml
name: digits-cnn
data:
  train: Data/Train               # one sub-folder a class
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

`fornada check SPEC` says everything that is wrong with a spec, with line, place and the nearest
right name. `fornada render SPEC` prints it with every default written out.

A last layer that does not fit its loss, as a model without softmax under
`SparseCategoricalCrossentropy`, is a warning, and so is a metric that takes logits for
probabilities or the other way round: Keras trains such a model too, to numbers that are not what
was meant. `check`, `submit`, `run` and the job's log say so; nothing is refused.

## How values are written

- **A class** is its name (`Flatten`, `RandomNormal`) or its name with arguments
  (`{{RandomNormal: {{stddev: 0.05}}}}`). Initializers, regularizers, constraints, optimizers and
  losses may also be spelled as Keras spells them in lower case (`random_normal`, `l2`, `adam`).
- **A number** may be a fraction (`1/255`) or have an exponent (`1e-3`). Where an integer is
  expected, `64.0` is refused.
- **`classes`**, in an integer argument, is how many classes the data has.
- **A size** that has a height and a width takes one number for both, or a list of two.
- **true and false** are the only words for a choice of two: `yes`, `no`, `on` and `off` are text.
- **An argument that cannot act** is refused, where it is not the default: `bias_regularizer` beside
  `use_bias: false`, `nesterov: true` without `momentum`, `fill_value` beside another `fill_mode`
  than `constant`.
- **A time** is `2h`, `90m`, `1h30m`, `45s` or a number of seconds.
- **A folder** is taken from where you stand and must lie under the data root
  (`FORNADA_DATA_ROOT`; any readable folder when everything runs on one machine). `..` and `~` are
  refused, and so are links that lead out of the root.
- **`--set`** lays values over a spec: `--set data.batch_size=128`,
  `--set compile.optimizer.Adam.learning_rate=1/1000`, `--set callbacks.EarlyStopping.patience=3`.
  An item of a list is named by its index, from 0 as in `model.layers[3]`
  (`--set model.3.Dense.units=32`), or by its class where only one item has it.

A spec has at most {bytes} bytes, {nodes:,} values, and lists and mappings inside one another to a
depth of {depth}. Tags, anchors, names given twice, NaN and infinity are refused. A model has at
most {parameters:,} parameters; a worker may allow fewer.
"""

_SUBSETS = """\
`train`, `validation` and `test` take a folder, or the subset of it that Keras's
`image_dataset_from_directory` takes with the same `validation_split`, `subset`, `seed` and
`shuffle`. `specs/owner.yaml` trains on 90 % of `Data/Train`, which are 1,800 of its 2,000 images,
and validates on 10 % of `Data/Test`, which are 50 of 500:

```yaml
train: {folder: Data/Train, validation_split: 0.1, subset: training}
validation: {folder: Data/Test, validation_split: 0.1, subset: validation}
```

`validation: {folder: Data/Test, split: 0.1}` is short for the latter. Without `shuffle` a subset is
the end, or the beginning, of the sorted list of files, and lacks whole classes: a warning says so.
A file that is in training and in validation or test too is a warning of `check --data` and of the
job's log.

What is wrong with the folders is told by `fornada check --data`, `fornada data check`, `fornada
submit` and the job in the same words. A class of training that `validation` or `test` has no folder
for, and a class without images in `train`, are refused; a folder there that is no class of training
is left out, with a warning, and so is a class without images.
"""
_MODES = """\
The loss decides which `label_mode` the data needs:

| loss | label_mode | outputs of the last layer |
| --- | --- | --- |
| `SparseCategoricalCrossentropy` | `int` | one a class |
| `CategoricalCrossentropy` | `categorical` | one a class |
| `BinaryCrossentropy` | `binary` | 1 |
"""
_MONITORS = """\
A `monitor` is a name that the training produces: `loss`, each metric's name, and with
validation the same with `val_` before it. A monitor that is never produced is an error. `mode:
auto` is `min` for the loss and `max` for the metrics, which are all better when higher. The
first `ModelCheckpoint` decides which model is the best; without one it is the one with the
lowest `val_loss`, or `loss` where there is no validation. `best.keras` is always kept: it holds
the weights that gave the recorded value.

Each `ModelCheckpoint` with a `filepath` of its own writes that file as Keras does, into the
attempt's folder, beside `best.keras`. Keras's placeholders and sub-folders are allowed:
`checkpoints/{epoch:02d}-{val_loss:.2f}.keras`. The files are recorded as artifacts of the kind
`checkpoint`, and a job that is resumed has them as one that was never stopped. The first one may go
without a `filepath`, and then keeps `best.keras` alone: with `save_weights_only: true`
`best.weights.h5` beside it, and with `save_best_only: false` `last.keras`. Every other one needs a
`filepath`, and so does one with an `initial_value_threshold`.

`last.keras` is written after each epoch and once more at the end. Then it is what Keras has after
`fit`: with the best weights where `EarlyStopping` restores them.

With `use_ema: true` an optimizer averages the weights. `last.keras` is then always written and
has the averages; `best.keras` has the weights that were measured. `SwapEMAWeights:
{swap_on_epoch: true}`, before the callbacks that save, has the averages measured and kept in
`best.keras`. Where `EarlyStopping` then ends the training, and restores nothing, Keras leaves
the weights that are not averaged in the model, and so in `last.keras`.
"""
_WEIGHTS = """
In `class_weight` an integer is the index of a class, as in Keras, and a key in quotes is the name
of its folder: over the folders `1`, `2` and `3`, `{0: 2}` and `{"1": 2}` mean the same class.
`balanced` gives a class the weight images / (classes * images of the class), counting the classes
that have images to train on, so that all count the same together.
"""
_CHANGES = """
## Changes of meaning

A spec that one of these applies to has another hash than in the version before: `submit
--needed` does not take older results for it, and no training state from before is continued. A
job that was queued before means what this version says, and its log says so.

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
    for its in (DATA, Folder.fields, Validation.fields, COMPILE, FIT, RESOURCES, RETRY):
        yield f"\n### {its.owner}\n"
        yield from _table(its)
        if its is FIT:
            yield _WEIGHTS.rstrip("\n")
        if its is DATA:
            yield f"\n{_SUBSETS.rstrip()}"
    for name, title in _TITLES.items():
        yield f"\n## {title}\n"
        if name in _NOTES:
            yield _NOTES[name]
        yield from _family(FAMILIES[name])
    yield _CHANGES.strip("\n")
    for change in CHANGES:
        yield f"| {change.version} | {change.what} |"


def _table(its: Fields) -> Iterator[str]:
    described = any(field.about for field in its.fields.values())
    yield f"| {its.noun} | expected | default |{' meaning |' if described else ''}"
    yield f"| --- | --- | --- |{' --- |' if described else ''}"
    for name, field in its.fields.items():
        default = "required" if field.required else f"`{_written(field.default)}`"
        if isinstance(field.kind, Section) and not field.required:
            default = "its fields'"
        about = f" {field.about} |" if described else ""
        yield f"| `{name}` | {_cell(field.kind.words)} | {default} |{about}"


def _family(family: Family) -> Iterator[str]:
    bare = [name for name in family.hands if not family.arguments[name].fields]
    if bare:
        yield "| name | meaning |"
        yield "| --- | --- |"
        for name in bare:
            yield f"| `{name}` | {_cell(family.hands[name].about)} |"
        yield ""
    for name, hand in family.hands.items():
        if name not in bare:
            yield f"### {name}{_spelled(family, name)}\n"
            yield f"{hand.about}\n"
            yield from _table(family.arguments[name])
            yield ""


def _spelled(family: Family, name: str) -> str:
    others = sorted(other for other, means in family.aliases.items() if means == name)
    return f" (or {', '.join(others)})" if others and family.name != "activations" else ""


def _cell(text: str) -> str:
    # Said once, at the head of the page.
    return text.replace(", as a name or as {name: {argument: value}}", "").replace("|", "\\|")


def _written(default: object) -> str:
    return default if isinstance(default, str) else json.dumps(default)
