"""Steady epochs: images a second, once all is compiled.

    python -P -m bench.epochs [--data DIR] [--nets dense,owner,conv,augmented] [--batches 64,1024]

The plain script, the same with `cache().prefetch()` and `steps_per_execution`, a PyTorch loop over
tensors in memory, and Fornada on each backend that is here. An epoch is all of it: training on nine
tenths, validation on a tenth, the best model saved. The first epoch of a process is not counted.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from bench import pictures, report, results, running
from bench.nets import NETS, Training
from bench.report import Report, Row
from fornada.worker.slots.slots import discover

GPU = bool(discover())
PLAIN, TORCH = "plain Keras script", "PyTorch loop in memory"
# On convolutions its rate on a CPU is a hundredth of the others', and does not depend on how many
# images there are: a tenth of them tells it.
SLOW = set() if GPU else {("conv", "jax"), ("augmented", "jax")}
# Epochs where none are asked for: so many steps in all, even of 64 images, that a job earns XLA's
# compilation where its net gains by it.
EPOCHS = {"dense": 17, "owner": 17, "conv": 3, "augmented": 3}
# Fornada on each backend, at least: so many times as fast as the rival.
PROMISED = {
    ("dense", "TensorFlow"): {PLAIN: 8.0, TORCH: 3.0},
    ("conv", "TensorFlow"): {PLAIN: 2.0, TORCH: 2.0},
    ("owner", "TensorFlow"): {PLAIN: 8.0},
    ("dense", "JAX"): {PLAIN: 8.0},
}
# And on TensorFlow without a GPU at least this share of the machine's matrix rate.
PROMISED_SHARE = 0.55
# Nets that compute little but products of matrices.
MATRICES = {"dense", "conv"}


def main() -> int:
    """Measure, print, and write."""
    parser = report.parser(__doc__)
    pictures.add_options(parser)
    parser.add_argument("--nets", default=",".join(EPOCHS))
    parser.add_argument("--batches", default="64,1024")
    parser.add_argument("--epochs", type=int, help="the first is not counted; default: by the net")
    parser.add_argument("--backends", default="tensorflow,jax")
    asked = parser.parse_args()
    data, about = pictures.folder(asked.data, asked.images)
    small = {"": data}
    wanted = asked.backends.split(",")
    backends = [name for name in wanted if not running.missing(name)]
    if SLOW and "jax" in backends and asked.data is None:
        small["jax"] = pictures.folder(None, asked.images // 10)[0]
    rows: list[Row] = []
    epochs = {net: asked.epochs or EPOCHS[net] for net in asked.nets.split(",")}
    for net, count in epochs.items():
        for batch in map(int, asked.batches.split(",")):
            training = Training(net, data, batch, count)
            rows += compare(training, backends, small.get("jax", data), asked.rounds)
    notes = [about, *_missing(wanted)]
    if "jax" in small and any((net, "jax") in SLOW for net in epochs):
        notes.append(
            "on a CPU JAX trains the convolutional nets for two epochs on a tenth of the images: "
            "its rate does not depend on how many there are"
        )
    sizes = {"images": pictures.count(data / "Train"), "epochs": epochs}
    results.publish(
        Report(
            name="epochs-gpu" if GPU else "epochs",
            title=f"Steady epochs{' on a GPU' if GPU else ''}, images a second",
            about="Images of the training set by the seconds of a whole epoch: training, "
            "validation on a tenth, the best model saved. The share is of what this machine's "
            f"best float32 matrix product reaches{', on the GPU by TF32' if GPU else ''}.",
            rows=rows,
            sizes={**sizes, "rounds": asked.rounds},
            notes=notes,
        ),
        asked.out,
    )
    return 0


def compare(training: Training, backends: list[str], tenth: Path, rounds: int) -> list[Row]:
    """All contenders on one net at one batch size."""
    runs: dict[str, Callable[[], tuple[list[float], int]]] = {}
    images = pictures.count(training.data / "Train")
    keras = partial(running.told_by_script, "plain_keras", training)
    runs[PLAIN] = lambda: (keras()["epochs"], images)
    runs["the same, cached and prefetched"] = lambda: (keras("--fast")["epochs"], images)
    if not running.missing("torch"):
        torch = partial(running.told_by_script, "plain_torch", training)
        runs[TORCH] = lambda: (torch()["epochs"], images)
    homes = [running.Home(backend) for backend in backends]
    for backend, home in zip(backends, homes, strict=True):
        of = training
        if (training.net, backend) in SLOW:
            of = Training(training.net, tenth, training.batch, 2)
        of_images = pictures.count(of.data / "Train")
        runs[f"Fornada on {running.BACKENDS[backend]}"] = partial(_fornada, home, of, of_images)
    machine: list[float] = []

    def matrix_product() -> tuple[list[float], int]:
        machine.append(running.gpu_matrix_rate(backends[0]) if GPU else report.matrix_rate())
        return [], 0

    measured = report.interleaved({**runs, "matrix product": matrix_product}, rounds)
    for home in homes:
        with home:
            pass
    group = f"{training.net}, batch {training.batch}"
    return _rows(group, {name: measured[name] for name in runs}, training.net, machine)


def _fornada(home: running.Home, training: Training, images: int) -> tuple[list[float], int]:
    home("run", home.spec(training))
    return home.epochs(), images


def _rows(
    group: str, measured: dict[str, list[tuple[list[float], int]]], net: str, machine: list[float]
) -> list[Row]:
    rows = []
    for name, runs in measured.items():
        rates, flops = [], []
        for seconds, images in runs:
            epoch_s = median(seconds[1:] or seconds)
            # As Keras splits: a tenth, rounded down.
            validation = images // 10
            rates.append((images - validation) / epoch_s)
            flops.append(NETS[net].epoch_flop(images - validation, validation) / epoch_s)
        share = median(flops) / median(machine)
        rows.append(report.row(group, name, "images/s", rates, more_is_better=True, share=share))
    return report.compared(_promised(rows, net))


def _promised(rows: list[Row], net: str) -> list[Row]:
    """With what Fornada promises on each backend: multiples of its rivals, and of the machine."""
    by_name = {row.name: row for row in rows}
    for (of, backend), times in PROMISED.items():
        row = by_name.get(f"Fornada on {backend}")
        if row is not None and of == net:
            rates = [
                many * by_name[rival].value for rival, many in times.items() if rival in by_name
            ]
            shared = backend == "TensorFlow" and net in MATRICES and not GPU
            share = PROMISED_SHARE if shared else None
            by_name[row.name] = replace(row, bound=max(rates), share_bound=share)
    return list(by_name.values())


def _missing(wanted: list[str]) -> list[str]:
    names = {"torch": "PyTorch", **{name: running.BACKENDS[name] for name in wanted}}
    return [
        f"{name} is not installed: its rows are missing"
        for package, name in names.items()
        if running.missing(package)
    ]


if __name__ == "__main__":
    sys.exit(main())
