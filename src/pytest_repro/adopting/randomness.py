"""Generators without a seed, draws at import, and seeds that are no seeds, in a module's source."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from pytest_repro.adopting.findings import Finding, Weight
from pytest_repro.adopting.names import (
    Parents,
    ancestors,
    argument,
    dotted_name,
    full_name,
    hides_arguments,
    is_executed_at_import,
    is_none,
)

#: Generators that take a seed from the operating system unless one is given -> the name of that argument.
GENERATORS = {
    "numpy.random.default_rng": "seed",
    "numpy.random.RandomState": "seed",
    "numpy.random.SeedSequence": "entropy",
    "numpy.random.PCG64": "seed",
    "numpy.random.MT19937": "seed",
    "numpy.random.Philox": "seed",
    "numpy.random.SFC64": "seed",
    "random.Random": "x",
}
#: Draws from a global generator.
_NUMPY_DRAWS = [
    "beta",
    "binomial",
    "bytes",
    "chisquare",
    "choice",
    "dirichlet",
    "exponential",
    "gamma",
    "geometric",
    "gumbel",
    "laplace",
    "logistic",
    "lognormal",
    "multinomial",
    "multivariate_normal",
    "normal",
    "permutation",
    "poisson",
    "power",
    "rand",
    "randint",
    "randn",
    "random",
    "random_integers",
    "random_sample",
    "ranf",
    "rayleigh",
    "sample",
    "shuffle",
    "standard_cauchy",
    "standard_exponential",
    "standard_gamma",
    "standard_normal",
    "standard_t",
    "triangular",
    "uniform",
    "vonmises",
    "wald",
    "weibull",
    "zipf",
]
_PYTHON_DRAWS = [
    "betavariate",
    "choice",
    "choices",
    "expovariate",
    "gammavariate",
    "gauss",
    "getrandbits",
    "lognormvariate",
    "normalvariate",
    "paretovariate",
    "randbytes",
    "randint",
    "random",
    "randrange",
    "sample",
    "shuffle",
    "triangular",
    "uniform",
    "vonmisesvariate",
    "weibullvariate",
]
_TORCH_DRAWS = ["bernoulli", "multinomial", "normal", "rand", "randint", "randn", "randperm", "poisson"]
DRAWS = {
    **{f"numpy.random.{name}": "numpy.random.seed" for name in _NUMPY_DRAWS},
    **{f"random.{name}": "random.seed" for name in _PYTHON_DRAWS},
    **{f"torch.{name}": "torch.manual_seed" for name in _TORCH_DRAWS},
}
#: Calls that seed -> the position of the seed.
SEEDING = {
    "random.seed": "a",
    "numpy.random.seed": "seed",
    "torch.manual_seed": "seed",
    "torch.cuda.manual_seed_all": "seed",
    "tensorflow.random.set_seed": "seed",
    "jax.random.key": "seed",
    "jax.random.PRNGKey": "seed",
    **GENERATORS,
}
#: Values that are another in each process or at each time.
CHANGING = {
    "time.time": "the time",
    "time.time_ns": "the time",
    "time.perf_counter": "the time",
    "datetime.datetime.now": "the time",
    "datetime.datetime.utcnow": "the time",
    "datetime.datetime.today": "the time",
    "datetime.date.today": "the date",
    "pandas.Timestamp.now": "the time",
    "pandas.Timestamp.today": "the time",
    "uuid.uuid1": "a new identifier",
    "uuid.uuid4": "a new identifier",
    "os.urandom": "entropy",
    "os.getpid": "the process's number",
    "secrets.randbits": "entropy",
    "secrets.randbelow": "entropy",
}
#: Built-in functions whose value depends on the process.
_OF_THE_PROCESS = {"hash": "a hash, which for text is another in each process", "id": "an address"}
#: Calls of scikit-learn that draw, by their module, unless `random_state` is given.
_SKLEARN = {
    "model_selection": "train_test_split ShuffleSplit StratifiedShuffleSplit GroupShuffleSplit RandomizedSearchCV",
    "ensemble": "RandomForestClassifier RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor "
    "GradientBoostingClassifier GradientBoostingRegressor BaggingClassifier BaggingRegressor IsolationForest "
    "AdaBoostClassifier AdaBoostRegressor",
    "cluster": "KMeans MiniBatchKMeans BisectingKMeans",
    "neural_network": "MLPClassifier MLPRegressor BernoulliRBM",
    "linear_model": "SGDClassifier SGDRegressor Perceptron PassiveAggressiveClassifier RANSACRegressor",
    "tree": "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor",
    "mixture": "GaussianMixture BayesianGaussianMixture",
    "manifold": "TSNE",
    "decomposition": "FastICA LatentDirichletAllocation TruncatedSVD",
    "datasets": "make_blobs make_circles make_classification make_friedman1 make_gaussian_quantiles make_moons "
    "make_multilabel_classification make_regression make_s_curve make_swiss_roll",
    "utils": "shuffle resample",
}
SKLEARN = {f"sklearn.{module}.{name}" for module, names in _SKLEARN.items() for name in names.split()}
#: Splitters that draw only with ``shuffle=True``.
_SKLEARN_FOLDS = {f"sklearn.model_selection.{name}" for name in ("KFold", "StratifiedKFold", "StratifiedGroupKFold")}
_LOADERS = ("torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader")


def find_randomness(tree: ast.AST, aliases: dict[str, str], parents: Parents, file: str) -> Iterator[Finding]:
    """Yield what a module draws without a seed."""

    def found(node: ast.expr, code: str, weight: Weight, text: str, fix: str) -> Finding:
        return Finding(file, node.lineno, code, weight, text, fix)

    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [(call, full_name(call.func, aliases)) for call in calls]
    seeded_later = {dotted_name(call.func).rpartition(".")[0] for call in calls if _is_reseeding(call)}
    seeded_at_import = {
        name: call.lineno for call, name in reversed(named) if name in SEEDING and is_executed_at_import(call, parents)
    }
    for call, name in named:
        shown = ast.unparse(call.func)
        if name in SEEDING and (source := _find_changing(_seed_of(call, SEEDING[name]), aliases)):
            yield found(
                call,
                "changing_seed",
                "mend",
                f"{shown}() is seeded with {source}, so every run has another seed",
                "give it a number",
            )
        elif name in GENERATORS and is_none(_seed_of(call, GENERATORS[name])) and not hides_arguments(call):
            if _assigned_to(call, parents) & seeded_later:
                continue
            when = "" if not _is_fallback(call, parents) else " where the caller gives none"
            yield found(
                call,
                "unseeded_generator",
                "mend",
                f"{shown}() takes its seed from the operating system{when}: no global seed reaches it",
                "pass a seed, or a generator that the caller seeds",
            )
        elif name == "random.SystemRandom":
            yield found(
                call, "unseeded_generator", "mend", "random.SystemRandom() cannot be seeded", "use random.Random(seed)"
            )
        elif name == "torch.seed":
            yield found(
                call,
                "changing_seed",
                "mend",
                "torch.seed() seeds torch's generator from the operating system",
                "use torch.manual_seed(seed)",
            )
        elif name in DRAWS and is_executed_at_import(call, parents):
            if seeded_at_import.get(DRAWS[name], call.lineno) < call.lineno:
                continue
            yield found(
                call,
                "draw_at_import",
                "mend",
                f"{shown}() is called when the module is imported, before any test sets a seed",
                "draw inside a function or a fixture",
            )
        else:
            yield from _find_global_draws(call, name, shown, parents, seeded_later, found)


def _find_global_draws(
    call: ast.Call, name: str, shown: str, parents: Parents, seeded_later: set[str], make: Callable[..., Finding]
) -> Iterator[Finding]:
    """Yield calls that draw from a global generator: reproducible where that is seeded, and nothing else draws."""
    follows = "it follows the global seed, and changes with every other draw"
    if hides_arguments(call):
        return
    if (name in SKLEARN or (name in _SKLEARN_FOLDS and _is_true(argument(call, "shuffle")))) and is_none(
        argument(call, "random_state")
    ):
        if name.rpartition(".")[2][0].isupper() and _is_part_of_another(call, parents):
            return
        yield make(call, "global_generator", "note", f"{shown}() has no random_state: {follows}", "pass random_state=")
    elif name in _LOADERS and _is_true(argument(call, "shuffle", 2)) and is_none(argument(call, "generator")):
        yield make(
            call,
            "global_generator",
            "note",
            f"{shown}(shuffle=True) has no generator: {follows}",
            "pass generator=torch.Generator().manual_seed(seed)",
        )
    elif name == "torch.Generator" and not (
        _assigned_to(call, parents) & seeded_later or _is_seeded_here(call, parents)
    ):
        yield make(
            call,
            "fixed_generator",
            "note",
            f"{shown}() is never seeded here: it begins with torch's constant seed, and ignores yours",
            "add .manual_seed(seed)",
        )


def _is_reseeding(call: ast.Call) -> bool:
    """Return whether a call is ``<generator>.seed(number)`` or another that gives a generator its state."""
    if not isinstance(call.func, ast.Attribute):
        return False
    name = call.func.attr
    return name in ("manual_seed", "set_state", "setstate") or (name == "seed" and bool(call.args or call.keywords))


def _is_seeded_here(call: ast.Call, parents: Parents) -> bool:
    """Return whether a generator is seeded where it is made: ``torch.Generator().manual_seed(0)``."""
    parent = parents.get(call)
    return isinstance(parent, ast.Attribute) and parent.attr in ("manual_seed", "set_state")


def _assigned_to(call: ast.Call, parents: Parents) -> set[str]:
    """Return the names that are bound to a call's result, also through ``x if ... else ...`` and ``or``."""
    node: ast.AST = call
    while isinstance(parents.get(node), (ast.IfExp, ast.BoolOp)):
        node = parents[node]
    parent = parents.get(node)
    targets = parent.targets if isinstance(parent, ast.Assign) else []
    targets += [parent.target] if isinstance(parent, (ast.AnnAssign, ast.NamedExpr)) else []
    return {dotted_name(target) for target in targets} - {""}


def _is_part_of_another(call: ast.Call, parents: Parents) -> bool:
    """Return whether an estimator is given to another, or kept by a class with a `random_state`, which seed it."""
    for parent in ancestors(call, parents):
        if isinstance(parent, (ast.Call, ast.keyword)):
            return True
        if isinstance(parent, ast.ClassDef):
            return any(
                isinstance(node, (ast.arg, ast.Attribute)) and _is_random_state(node) for node in ast.walk(parent)
            )
    return False


def _is_random_state(node: ast.arg | ast.Attribute) -> bool:
    return (node.arg if isinstance(node, ast.arg) else node.attr) == "random_state"


def _is_fallback(call: ast.Call, parents: Parents) -> bool:
    """Return whether a generator is used only in some cases: ``rng or default_rng()``, ``if rng is None: ...``."""
    for parent in ancestors(call, parents):
        if isinstance(parent, (ast.IfExp, ast.BoolOp, ast.If)):
            return True
        if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return False
    return False


def _seed_of(call: ast.Call, name: str) -> ast.expr | None:
    return argument(call, name, 0)


def _find_changing(node: ast.expr | None, aliases: dict[str, str]) -> str:
    """Return what makes the value of a seed another in each process, or an empty text."""
    for each in ast.walk(node) if node is not None else ():
        if isinstance(each, ast.Call):
            name = full_name(each.func, aliases)
            if name in CHANGING:
                return CHANGING[name]
            if isinstance(each.func, ast.Name) and each.func.id in _OF_THE_PROCESS:
                return _OF_THE_PROCESS[each.func.id]
    return ""


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
