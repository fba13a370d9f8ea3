"""KerasTuner's RandomSearch over the learning rate, in one process.

    python bench/plain_tuner.py --data Data --epochs 3 --trials 30

The dense net and the images of `plain_keras.py`, kept in memory once they are read.
"""

import argparse
import tempfile

import keras
import keras_tuner
from plain_keras import compiled, images


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    # As one would who searches: read once.
    arguments.fast = True
    classes, train = images(arguments, "training")
    _, validation = images(arguments, "validation")

    def build(choices):
        keras.utils.set_random_seed(choices.Int("seed", 1, 1000))
        return compiled("dense", classes, choices.Float("rate", 0.001, 0.01))

    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            build,
            objective="val_loss",
            max_trials=arguments.trials,
            seed=arguments.seed,
            directory=folder,
        )
        tuner.search(train, validation_data=validation, epochs=arguments.epochs, verbose=0)


if __name__ == "__main__":
    main()
