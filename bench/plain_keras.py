"""The script that Fornada is measured against: Keras alone, as its own guides write it.

    python bench/plain_keras.py --data DIR --net dense --epochs 17

Trains on DIR/Train, validates on a tenth of it, keeps the best model. Prints the seconds of each
epoch, validation and callbacks included, and the accuracy on that tenth of the best model, as one
line of JSON.
"""

import argparse
import json
import tempfile
import time

import keras

SIZE = (28, 28)
# Batches a call of the compiled step, with --fast.
STEPS_A_CALL = 32


def images(arguments, part):
    found = keras.utils.image_dataset_from_directory(
        f"{arguments.data}/Train",
        image_size=SIZE,
        batch_size=arguments.batch,
        validation_split=0.1,
        subset=part,
        seed=arguments.seed,
        verbose=False,
    )
    return len(found.class_names), found.cache().prefetch(8) if arguments.fast else found


def normalized_convolution(filters):
    layers = keras.layers
    return [
        layers.Conv2D(filters, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(2),
    ]


def build(net, classes):
    layers = keras.layers
    middle = {
        "dense": [
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
        ],
        "owner": [
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(64, activation="relu"),
        ],
        "conv": [
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
        ],
        "augmented": [
            *normalized_convolution(32),
            *normalized_convolution(64),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(128, activation="relu"),
        ],
    }
    augmenting = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]
    return keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            *(augmenting if net == "augmented" else []),
            layers.Rescaling(1 / 255),
            *middle[net],
            layers.Dense(classes, activation="softmax"),
        ]
    )


def compiled(net, classes, rate, steps_a_call=1):
    model = build(net, classes)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["sparse_categorical_accuracy"],
        steps_per_execution=steps_a_call,
    )
    return model


class Seconds(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(time.perf_counter() - self.began)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--net", default="dense")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=17)
    parser.add_argument("--rate", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fast", action="store_true", help="cache, prefetch, steps_per_execution")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    classes, train = images(arguments, "training")
    _, validation = images(arguments, "validation")
    steps_a_call = STEPS_A_CALL if arguments.fast else 1
    model = compiled(arguments.net, classes, arguments.rate, steps_a_call)
    # Last, so that it hears of an epoch's end when the model has been saved.
    seconds = Seconds()
    with tempfile.TemporaryDirectory() as folder:
        history = model.fit(
            train,
            validation_data=validation,
            epochs=arguments.epochs,
            verbose=0,
            callbacks=[
                keras.callbacks.EarlyStopping(monitor="val_loss", patience=100),
                keras.callbacks.ModelCheckpoint(f"{folder}/best.keras", save_best_only=True),
                seconds,
            ],
        )
    losses = history.history["val_loss"]
    best = history.history["val_sparse_categorical_accuracy"][losses.index(min(losses))]
    print(json.dumps({"epochs": seconds.epochs, "accuracy": best}))


if __name__ == "__main__":
    main()
