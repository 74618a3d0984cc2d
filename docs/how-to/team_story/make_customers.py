"""Write customers.csv: 500 customers that are made up, with 6 features, and whether they left."""

import numpy as np

rng = np.random.default_rng(2026)
x = rng.lognormal(size=(500, 6))
left = (x @ [1.0, -0.5, 0.3, 0.0, -0.2, 0.4] + rng.normal(size=500)) > 1.5
np.savetxt("customers.csv", np.column_stack([x, left]), fmt="%.6f", delimiter=",")
