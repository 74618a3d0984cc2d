"""Adapters to the frameworks: each a small module, found by name, loaded only if the framework already is.

Two kinds stand side by side. ``*_values`` turn a framework's objects into leaves (used by `capturing`);
``*_state`` seed, save and restore its generators and flags (used by `seeding`). Nothing outside this
package imports a framework.
"""

from __future__ import annotations

#: Framework's import name -> adapter module here. Order is the order in which values are tried.
VALUE_ADAPTERS = {
    "numpy": "numpy_values",
    "torch": "torch_values",
    "pandas": "pandas_values",
    "scipy.sparse": "scipy_values",
    "sklearn.base": "sklearn_values",
    "jax": "jax_values",
    "xgboost": "xgboost_values",
    "lightgbm": "lightgbm_values",
}

#: Framework's import name -> adapter module here. Order is the order of seeding.
STATE_ADAPTERS = {
    "random": "stdlib_state",
    "numpy": "numpy_state",
    "torch": "torch_state",
    "hypothesis": "hypothesis_state",
    "sklearn": "sklearn_state",
    "jax": "jax_state",
    "tensorflow": "tensorflow_state",
}
