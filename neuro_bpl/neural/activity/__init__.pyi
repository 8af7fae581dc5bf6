from . import alignment, binning, clicks_as_trials, pseudo_population, responses, simulated_responses

__all__ = ["alignment", "binning", "clicks_as_trials", "pseudo_population", "responses", "simulated_responses"]
