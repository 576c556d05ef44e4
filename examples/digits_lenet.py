"""Train LeNet on handwritten digits, and look at what it has learned.

    python examples/digits_lenet.py                  on the CPU
    python examples/digits_lenet.py --device gpu     on a Vulkan, Metal or DX12 adapter

The data are the 1,797 images of 8x8 pixels that pyneuro carries; a fifth is held back for the test. The run
ends with a confusion matrix, a picture of some predictions beside the loss curve, and the model saved as
safetensors, loaded again and checked to predict the same.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
from tqdm import tqdm

import pyneuro as pn
import pyneuro.nn.functional as F
from pyneuro import nn, optim
from pyneuro.data import DataLoader, TensorDataset, random_split
from pyneuro.data.datasets import digits

matplotlib.use("Agg")  # draws into files, needs no screen
import matplotlib.pyplot as plt


class LeNet(nn.Module):
    """Two convolutions and three linear layers (LeCun et al., 1998), sized for 8x8 images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.1)
        self.fc1 = nn.Linear(32 * 2 * 2, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: pn.Tensor) -> pn.Tensor:
        x = self.pool(F.relu(self.conv1(x)))  # (B, 16, 4, 4)
        x = self.pool(F.relu(self.conv2(x)))  # (B, 32, 2, 2)
        x = self.dropout(x.flatten(1))  # (B, 128)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def load(batch_size: int) -> tuple[DataLoader, pn.Tensor, pn.Tensor]:
    """A loader of training batches, and the test images and labels."""
    images, labels = digits()
    held_back = len(images) // 5
    train, test = random_split(
        TensorDataset(images, labels),
        [len(images) - held_back, held_back],
        generator=pn.Generator().manual_seed(0),
    )
    order = pn.Generator().manual_seed(1)
    loader = DataLoader(train, batch_size=batch_size, shuffle=True, drop_last=True, generator=order)
    test_images, test_labels = next(iter(DataLoader(test, batch_size=len(test))))
    return loader, test_images, test_labels


@pn.no_grad()
def predict(model: nn.Module, images: pn.Tensor) -> tuple[np.ndarray, pn.Tensor]:
    """The predicted digits, and the logits on the CPU."""
    model.eval()
    logits = model(images).cpu()
    return logits.argmax(dim=1).numpy(), logits


def train(
    model: nn.Module,
    loader: DataLoader,
    epochs: int,
    device: str,
    test: tuple[pn.Tensor, np.ndarray],
) -> list[float]:
    """Train in place; returns the loss of every step."""
    optimizer = optim.AdamW(model.parameters(), lr=6e-3, weight_decay=1e-2)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    criterion = nn.CrossEntropyLoss()
    images, labels = test
    history: list[float] = []
    for epoch in range(1, epochs + 1):
        model.train()
        losses = []
        for x, y in tqdm(loader, desc=f"epoch {epoch:2}/{epochs}", unit="batch", leave=False):
            optimizer.zero_grad()
            loss = criterion(model(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())  # read after the epoch: reading now would wait for a GPU
        schedule.step()
        history += [loss.item() for loss in losses]
        accuracy = float((predict(model, images)[0] == labels).mean())
        print(f"epoch {epoch:2}/{epochs}  loss {np.mean(history[-len(losses) :]):.4f}  test accuracy {accuracy:7.2%}")
    return history


def print_confusion(labels: np.ndarray, predicted: np.ndarray) -> None:
    """Row: the digit that was written; column: the digit that was read."""
    matrix = np.zeros((10, 10), dtype=int)
    np.add.at(matrix, (labels, predicted), 1)
    print("\nconfusion matrix (rows: written, columns: read)")
    print("     " + "".join(f"{digit:4}" for digit in range(10)))
    for digit, row in enumerate(matrix):
        print(f"  {digit}  " + "".join(f"{n:4}" if n else "   ." for n in row))


def draw(images: np.ndarray, labels: np.ndarray, predicted: np.ndarray, history: list[float], path: Path) -> None:
    """Twenty test digits with their predictions (mistakes first, in red), and the loss curve."""
    chosen = np.argsort(labels == predicted, kind="stable")[:20]
    figure = plt.figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subfigures(1, 2)
    for axes, i in zip(left.subplots(4, 5).flat, chosen, strict=False):
        axes.imshow(images[i, 0], cmap="gray_r")
        axes.set_axis_off()
        wrong = labels[i] != predicted[i]
        title = f"{predicted[i]} (is {labels[i]})" if wrong else f"{predicted[i]}"
        axes.set_title(title, fontsize=9, color="crimson" if wrong else "black")
    left.suptitle("predictions on held-back digits")
    axes = right.subplots()
    axes.plot(history, color="tab:blue", alpha=0.3, linewidth=1, label="each step")
    window = max(len(history) // 40, 1)
    mean = np.convolve(history, np.ones(window) / window, mode="valid")
    axes.plot(np.arange(window - 1, len(history)), mean, color="tab:blue", label=f"mean of {window}")
    axes.set(xlabel="step", ylabel="cross-entropy", yscale="log")
    axes.legend()
    right.suptitle("training loss")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help='"cpu", "gpu" or "gpu:1"')
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    parser.add_argument("--smoke", action="store_true", help="one epoch, no accuracy asked")
    args = parser.parse_args()
    if args.smoke:
        args.epochs = 1

    pn.manual_seed(0)
    loader, images, test_labels = load(args.batch_size)
    labels = test_labels.numpy()
    model = LeNet().to(args.device)
    size = sum(p.numel() for p in model.parameters())
    print(f"LeNet with {size:,} parameters on {args.device}; {len(labels)} of 1797 digits held back")

    start = time.perf_counter()
    history = train(model, loader, args.epochs, args.device, (images.to(args.device), labels))
    seconds = time.perf_counter() - start
    predicted, logits = predict(model, images.to(args.device))
    accuracy = float((predicted == labels).mean())
    print_confusion(labels, predicted)
    print(f"\ntrained in {seconds:.1f} s; final test accuracy {accuracy:.2%}")

    args.output.mkdir(parents=True, exist_ok=True)
    picture = args.output / f"digits_{args.device.replace(':', '')}.png"
    draw(images.numpy(), labels, predicted, history, picture)
    print(f"picture  {picture}")

    checkpoint = args.output / "digits_lenet.safetensors"
    pn.save(model.state_dict(), checkpoint)
    again = LeNet()
    again.load_state_dict(pn.load(checkpoint))
    again.to(args.device)
    if not pn.equal(logits, predict(again, images.to(args.device))[1]):
        raise SystemExit("the loaded model predicts something else than the saved one")
    print(f"model    {checkpoint} (saved, loaded again, predicts the same)")
    if not args.smoke and accuracy < 0.97:
        raise SystemExit(f"the test accuracy must be at least 97 %, got {accuracy:.2%}")


if __name__ == "__main__":
    main()
