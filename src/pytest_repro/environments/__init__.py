"""Where a run is made: the processes of an environment, how they are started there, and how its files get there."""
