"""A loop over tensors in memory, as one writes it by hand in PyTorch; on a GPU where there is one.

    python bench/plain_torch.py --data DIR --net dense --epochs 17

The same nets, batches and optimizer as `plain_keras.py`, the best model saved. Images are decoded
before the first epoch. Prints the seconds of each epoch, validation included, as one line of JSON.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def read(folder):
    """Pixels as (count, 3, 28, 28) in 0..1, and labels; in a random order."""
    files = sorted(folder.glob("*/*.png"))
    names = sorted({file.parent.name for file in files})
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    labels = torch.tensor([names.index(file.parent.name) for file in files])
    order = torch.randperm(len(files))
    shaped = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).contiguous()
    return shaped[order].to(DEVICE), labels[order].to(DEVICE)


class Augment(nn.Module):
    """Each image mirrored or not, and turned by up to a tenth of a circle, while training."""

    def forward(self, images):
        if not self.training:
            return images
        count = len(images)
        mirrored = torch.where(torch.rand(count, device=images.device) < 0.5, -1.0, 1.0)
        angle = (torch.rand(count, device=images.device) * 2 - 1) * 0.1 * 2 * torch.pi
        cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
        rows = torch.stack([cos * mirrored, -sin, none, sin * mirrored, cos, none], dim=1)
        grid = nn.functional.affine_grid(rows.view(-1, 2, 3), images.shape, align_corners=False)
        return nn.functional.grid_sample(
            images, grid, padding_mode="reflection", align_corners=False
        )


def build(net):
    if net in ("dense", "owner"):
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(28 * 28 * 3, 64),
            nn.ReLU(),
            nn.Dropout(0.2) if net == "owner" else nn.Identity(),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )
    if net == "augmented":
        return nn.Sequential(
            Augment(),
            nn.Conv2d(3, 32, 3, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(5 * 5 * 64, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )
    return nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(5 * 5 * 64, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def train(model, optimizer, loss, data, batch):
    images, labels = data
    model.train()
    order = torch.randperm(len(images), device=DEVICE)
    for begin in range(0, len(images), batch):
        chosen = order[begin : begin + batch]
        optimizer.zero_grad()
        loss(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()


@torch.no_grad()
def validate(model, loss, data, batch):
    images, labels = data
    model.eval()
    total = 0.0
    for begin in range(0, len(images), batch):
        part = slice(begin, begin + batch)
        total += loss(model(images[part]), labels[part]).item() * len(labels[part])
    return total / len(images)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--net", default="dense")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=17)
    parser.add_argument("--rate", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    images, labels = read(arguments.data / "Train")
    held = len(images) // 10
    learned, unseen = (images[held:], labels[held:]), (images[:held], labels[:held])
    model, loss = build(arguments.net).to(DEVICE), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.rate)
    best, seconds = float("inf"), []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.epochs):
            began = time.perf_counter()
            train(model, optimizer, loss, learned, arguments.batch)
            value = validate(model, loss, unseen, arguments.batch)
            if value < best:
                best = value
                torch.save(model.state_dict(), f"{folder}/best.pt")
            seconds.append(time.perf_counter() - began)
    print(json.dumps({"epochs": seconds}))


if __name__ == "__main__":
    main()
