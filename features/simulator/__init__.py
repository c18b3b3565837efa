"""A simulated web-and-store business whose customers' true chances, worth and reasons are known.

`population` draws the customers, `process` lets them live day by day, `touchpoints` and `responses`
turn what happened into events, `truth` says what nobody in the business knows. docs/simulator.md has
the parameters and what the truth means.
"""

from features.simulator.population import Parameters
from features.simulator.simulation import Simulation, simulate, write
from features.simulator.truth import Truth

__all__ = ["Parameters", "Simulation", "Truth", "simulate", "write"]
