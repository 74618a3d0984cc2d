"""torch: a small convolutional network on scikit-learn's handwritten digits, as in the README."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class DigitNet(nn.Module):
    """Two convolutions and a linear layer: 1 x 8 x 8 pixels to 10 scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.25)
        self.fc = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv1(x)))
        x = torch.relu(self.conv2(x))
        return self.fc(self.dropout(x.flatten(1)))


@pytest.fixture
def digits():
    """Return the training and test images and labels as tensors."""
    X, y = load_digits(return_X_y=True)
    images = torch.tensor(X / 16.0, dtype=torch.float32).reshape(-1, 1, 8, 8)
    labels = torch.tensor(y)
    return images[:1400], labels[:1400], images[1400:], labels[1400:]


def train(images, labels, seed: int, epochs: int = 3) -> tuple[DigitNet, list[float]]:
    """Fit by Adam on shuffled minibatches of 64, and return the network and the mean loss of each epoch."""
    torch.manual_seed(seed)
    model = DigitNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(x)
        losses.append(total / len(images))
    return model.eval(), losses


@pytest.mark.reproducible
def test_training(repro, digits):
    images, labels, test_images, test_labels = digits
    model, losses = train(images, labels, seed=repro.seed)
    with torch.no_grad():
        scores = model(test_images)
    predictions = scores.argmax(dim=1)
    accuracy = (predictions == test_labels).float().mean().item()
    assert accuracy > 0.8
    metrics = {"accuracy": accuracy, "losses": losses}
    return {"weights": model, "scores": scores, "predictions": predictions, "metrics": metrics}


@pytest.mark.reproducible
def test_training_resumes_bit_for_bit(repro, digits, tmp_path):
    """Stopping after one epoch, restoring everything and training further gives the weights of one training."""
    images, labels, _, _ = digits
    straight = train_resumable(images, labels, repro.seed, stop=None, folder=tmp_path)
    resumed = train_resumable(images, labels, repro.seed, stop=1, folder=tmp_path)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    return straight


def train_resumable(images, labels, seed, *, stop, folder, epochs=2):
    """Train a network. With `stop`, save it after that many epochs and continue from the file with a new network."""
    torch.manual_seed(seed)
    model = DigitNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(epochs):
        if epoch == stop:
            file = folder / "checkpoint.pt"
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
            torch.save(state, file)
            model, optimizer = restore(torch.load(file, weights_only=True))
        for rows in torch.randperm(len(images)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
    return model


def restore(state):
    """Build a new model and optimizer, and load the saved states, the generator's state last."""
    model = DigitNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])  # last: building the model drew from it
    return model, optimizer
