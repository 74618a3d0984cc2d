"""torch: a small transformer trained on the CPU."""

import pytest

torch = pytest.importorskip("torch")


def train(seed, steps=3):
    torch.manual_seed(seed)
    layer = torch.nn.TransformerEncoderLayer(d_model=64, nhead=4, dim_feedforward=128, batch_first=True)
    model = torch.nn.Sequential(
        torch.nn.Embedding(1000, 64), torch.nn.TransformerEncoder(layer, num_layers=2), torch.nn.Linear(64, 1000)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    tokens = torch.randint(0, 1000, (16, 33))
    for _ in range(steps):
        logits = model(tokens[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {"weights": model.state_dict(), "loss": loss.detach()}


@pytest.mark.reproducible(runs=5)
def test_training_again(repro):
    return train(repro.seed)


@pytest.mark.reproducible(across={"threads": [1, 2, 3]})
def test_training_across_threads(repro):
    return train(repro.seed)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.reproducible(across={"threads": [1, 2, 3]})
def test_training_repaired(repro, one_thread):
    return train(repro.seed)
