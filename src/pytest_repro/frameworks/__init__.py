"""Adapters to the frameworks: small modules found by name, each loaded only if its framework is loaded.

``*_values`` adapters turn a framework's objects into leaves (used by `capturing`). ``*_state`` adapters seed, save and
restore its generators and flags (used by `seeding`). No framework is imported outside of this package.
"""

from __future__ import annotations

#: Framework's import name -> adapter module here. Values are tried in this order. A submodule stands for a framework
#: whose own name is one that a user's module might have.
VALUE_ADAPTERS = {
    "numpy": "numpy_values",
    "torch": "torch_values",
    "pandas": "pandas_values",
    "polars": "polars_values",
    "pyarrow": "arrow_values",
    "scipy.sparse": "scipy_values",
    "sklearn.base": "sklearn_values",
    "jax": "jax_values",
    "xgboost": "xgboost_values",
    "numba.core.dispatcher": "numba_values",
    "lightgbm": "lightgbm_values",
    "catboost": "catboost_values",
    "lightning.pytorch": "lightning_values",
    "pytorch_lightning": "pytorch_lightning_values",
    "xarray": "xarray_values",
    "duckdb": "duckdb_values",
    "PIL.Image": "pil_values",
    "tokenizers.tokenizers": "tokenizers_values",
    "transformers.utils.generic": "transformers_values",
    "datasets.arrow_dataset": "datasets_values",
    "omegaconf": "omegaconf_values",
    "skorch.net": "skorch_values",
}

#: Framework's import name -> adapter module here. Frameworks are seeded in this order.
STATE_ADAPTERS = {
    "random": "stdlib_state",
    "numpy": "numpy_state",
    "torch": "torch_state",
    "hypothesis": "hypothesis_state",
    "sklearn": "sklearn_state",
    "jax": "jax_state",
    "tensorflow": "tensorflow_state",
}
