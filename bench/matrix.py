"""The best float32 matrix product of a GPU, as the backend computes it, TF32 where it has that.

    KERAS_BACKEND=jax python bench/matrix.py

Prints floating point operations a second.
"""

import math
import time

import keras

ROWS = 8192
# In a row, so that the GPU waits for nothing between them.
PRODUCTS = 10
ROUNDS = 10


def main():
    left = keras.random.normal((ROWS, ROWS), seed=0)
    right = keras.random.normal((ROWS, ROWS), seed=1)
    best = math.inf
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        found = [keras.ops.matmul(left, right) for _ in range(PRODUCTS)]
        # Waits for the last, and so for all.
        float(found[-1][0, 0])
        best = min(best, time.perf_counter() - begin)
    print(2 * ROWS**3 * PRODUCTS / best)


if __name__ == "__main__":
    main()
