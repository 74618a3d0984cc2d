"""Seeds for every generator, saving and restoring of their states, and deterministic kernels. Imports no framework."""

from pytest_repro.seeding.determinism import DeterministicMode, Setting, deterministic
from pytest_repro.seeding.generators import Generator, register_from_hook, register_generator, unregister_generator
from pytest_repro.seeding.seeds import active_seed, check_seed, derive_seed, seed_everything
from pytest_repro.seeding.state import (
    State,
    changed_flags,
    read_settings,
    restore_state,
    save_state,
    seeded,
    seeds_on_import,
    with_flags_now,
)

__all__ = [
    "DeterministicMode",
    "Generator",
    "Setting",
    "State",
    "active_seed",
    "changed_flags",
    "check_seed",
    "derive_seed",
    "deterministic",
    "read_settings",
    "register_from_hook",
    "register_generator",
    "restore_state",
    "save_state",
    "seed_everything",
    "seeded",
    "seeds_on_import",
    "unregister_generator",
    "with_flags_now",
]
