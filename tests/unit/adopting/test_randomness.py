"""The scan names generators without a seed, draws at import and seeds that change, and nothing that is seeded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.adopting.helpers import codes, scan_source

BAD = [
    ("import numpy as np\nrng = np.random.default_rng()", "unseeded_generator"),
    ("from numpy.random import default_rng as make\ndef f():\n    return make(None)", "unseeded_generator"),
    (
        "import numpy as np\ndef f(rng=None):\n    rng = rng or np.random.RandomState()\n    return rng",
        "unseeded_generator",
    ),
    ("import random\ndef f():\n    return random.Random().random()", "unseeded_generator"),
    ("import random\ndef f():\n    return random.SystemRandom().random()", "unseeded_generator"),
    ("import numpy as np\nWEIGHTS = np.random.rand(3)", "draw_at_import"),
    ("import random\nclass A:\n    value = random.random()", "draw_at_import"),
    ("import torch\ndef f(x=torch.randn(3)):\n    return x", "draw_at_import"),
    (
        "import numpy, pytest\n@pytest.mark.parametrize('x', [numpy.random.rand()])\ndef test_it(x): ...",
        "draw_at_import",
    ),
    ("import random, time\ndef f():\n    random.seed(int(time.time()))", "changing_seed"),
    ("import numpy as np\ndef f(name):\n    return np.random.default_rng(hash(name))", "changing_seed"),
    ("import numpy as np, os\ndef f(seed):\n    np.random.seed(seed + os.getpid())", "changing_seed"),
    ("import torch\ndef f():\n    torch.seed()", "changing_seed"),
]
GOOD = [
    "import numpy as np\nrng = np.random.default_rng(0)",
    "import numpy as np\ndef f(seed):\n    return np.random.default_rng(seed)",
    "import numpy as np\ndef f(**options):\n    return np.random.default_rng(**options)",
    "import random\ndef f():\n    rng = random.Random()\n    rng.seed(3)\n    return rng",
    "import numpy as np\nnp.random.seed(0)\nWEIGHTS = np.random.rand(3)",
    "import numpy as np\nif __name__ == '__main__':\n    print(np.random.rand(3))",
    "import numpy as np\ndef f():\n    return np.random.rand(3)",
    "def f(default_rng):\n    return default_rng()",
    "class random:\n    Random = int\nrandom.Random()",
    "import random\nfrom mine import random\ndef f(random):\n    return random.Random()",
    "import random\nrandom = make()\ndef f():\n    return random.Random()",
    "import numpy as np\ndraw = lambda: np.random.rand(3)",
]


@pytest.mark.parametrize("source, code", BAD)
def test_what_no_seed_reaches_is_found(tmp_path: Path, source: str, code: str) -> None:
    assert [found for _, found in codes(tmp_path, source)] == [code]


@pytest.mark.parametrize("source", GOOD)
def test_what_is_seeded_or_drawn_later_is_not_found(tmp_path: Path, source: str) -> None:
    assert codes(tmp_path, source) == []


NOTES = [
    "from sklearn.model_selection import train_test_split\ndef f(X):\n    return train_test_split(X)",
    "from sklearn.ensemble import RandomForestClassifier\ndef f():\n"
    "    return RandomForestClassifier(random_state=None)",
    "from sklearn.model_selection import KFold\ndef f():\n    return KFold(5, shuffle=True)",
    "from torch.utils.data import DataLoader\ndef f(d):\n    return DataLoader(d, 4, True)",
    "import torch\ndef f():\n    return torch.Generator()",
]
NO_NOTES = [
    "from sklearn.model_selection import train_test_split\ndef f(X):\n    return train_test_split(X, random_state=0)",
    "from sklearn.model_selection import KFold\ndef f():\n    return KFold(5)",
    "from sklearn.ensemble import BaggingClassifier\nfrom sklearn.tree import DecisionTreeClassifier\ndef f():\n"
    "    return BaggingClassifier(DecisionTreeClassifier(), random_state=0)",
    "from torch.utils.data import DataLoader\ndef f(d, g):\n    return DataLoader(d, 4, True, generator=g)",
    "from torch.utils.data import DataLoader\ndef f(d):\n    return DataLoader(d, 4)",
    "import torch\ndef f():\n    return torch.Generator().manual_seed(0)",
    "import torch\ndef f():\n    g = torch.Generator()\n    g.manual_seed(0)\n    return g",
]


@pytest.mark.parametrize("source", NOTES)
def test_what_follows_the_global_seed_is_noted_and_not_to_be_mended(tmp_path: Path, source: str) -> None:
    assert [each.weight for each in scan_source(tmp_path, source)] == ["note"]


@pytest.mark.parametrize("source", NO_NOTES)
def test_what_has_a_seed_of_its_own_is_not_noted(tmp_path: Path, source: str) -> None:
    assert scan_source(tmp_path, source) == []
