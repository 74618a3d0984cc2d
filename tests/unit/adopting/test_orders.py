"""The scan names orders that reach a result, and not those that nothing depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.adopting.helpers import codes

LISTINGS = [
    "import os\ndef f(p):\n    return [open(x).read() for x in os.listdir(p)]",
    "import glob\ndef f(p):\n    found = []\n    for x in glob.glob(p):\n        found.append(x)\n    return found",
    "def f(p):\n    for x in p.iterdir():\n        yield x",
    "import os\ndef f(p):\n    names = list(os.scandir(p))\n    return names[0]",
    "import os\ndef f(p):\n    found = []\n    for d, _, files in os.walk(p):\n"
    "        found.extend(files)\n    return found",
]
SETS = [
    "def f(names):\n    return list(set(names))",
    "def f(names):\n    known = set(names)\n    return [n.upper() for n in known]",
    "def f():\n    return ','.join({'a', 'b'})",
    "def f(names):\n    return {name: i for i, name in enumerate(set(names))}",
    "def f(a, b):\n    out = []\n    for x in {*a, *b}:\n        out.append(x)\n    return out",
]
FREE = [
    "import os\ndef f(p):\n    return sorted(os.listdir(p))",
    "import os\ndef f(p):\n    return len(os.listdir(p)), set(os.listdir(p)), 'a' in os.listdir(p)",
    "import os\ndef f(p):\n    for x in os.listdir(p):\n        os.remove(x)",
    "import os\ndef f(p):\n    names = [x for x in os.listdir(p)]\n    names.sort()\n    return names",
    "import os\ndef f(p):\n    out = []\n    for x in os.listdir(p):\n        out.append(x)\n    return sorted(out)",
    "import os\ndef f(p):\n    out = []\n    for d, dirs, files in os.walk(p):\n"
    "        dirs.sort()\n        out += sorted(files)\n"
    "        out.append(d)\n    return out",
    "def f(names):\n    return sorted(set(names)), len(list(set(names)))",
    "def f(names):\n    known = set(names)\n    return [n for n in names if n in known]",
    "def f():\n    return list({1, 2}), list(set(range(3)))",
    "def f(names):\n    known = set(names)\n    known = sorted(known)\n    return [n for n in known]",
    "def f(names):\n    known = set(names)\n    return [0 for _ in known]",
    "def f(names, known):\n    known = list(known)\n    return [n for n in known]",
    "def f(names):\n    raise ValueError(list(set(names)))",
]
TIMES = [
    "import pandas as pd\nfrom datetime import datetime\ndef f():\n"
    "    return pd.DataFrame({'t': [datetime.now()] * 4})",
    "import numpy as np, time\ndef f():\n    return np.array([1.0, time.time()])",
    "import pytest\nfrom datetime import datetime\n@pytest.mark.parametrize('a, b', [(datetime.now(), 1)])\n"
    "def test_it(a, b): ...",
    "import pytest, uuid\npd = pytest.importorskip('pandas')\ndef f():\n    return pd.Series([uuid.uuid4()])",
]
NO_TIMES = [
    "import time\ndef f():\n    start = time.time()\n    print(time.time() - start)",
    "from datetime import datetime\ndef f():\n    return f'{datetime.now()}'",
    "import uuid\ndef f(log):\n    log(uuid.uuid4())",
]


@pytest.mark.parametrize("source", LISTINGS)
def test_the_order_of_a_listing_that_reaches_a_result_is_found(tmp_path: Path, source: str) -> None:
    assert [code for _, code in codes(tmp_path, source)] == ["unsorted_listing"]


@pytest.mark.parametrize("source", SETS)
def test_the_order_of_a_set_that_reaches_a_result_is_found(tmp_path: Path, source: str) -> None:
    assert [code for _, code in codes(tmp_path, source)] == ["set_order"]


@pytest.mark.parametrize("source", TIMES)
def test_a_time_that_becomes_data_is_found(tmp_path: Path, source: str) -> None:
    assert [code for _, code in codes(tmp_path, source)] == ["time_as_data"]


@pytest.mark.parametrize("source", [*FREE, *NO_TIMES])
def test_what_no_result_depends_on_is_not_found(tmp_path: Path, source: str) -> None:
    assert codes(tmp_path, source) == []
