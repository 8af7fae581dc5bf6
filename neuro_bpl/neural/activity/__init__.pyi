from . import alignment, binning, clicks_as_trials, heard_clicks, pseudo_population, responses, simulated_responses

__all__ = [
    "alignment",
    "binning",
    "clicks_as_trials",
    "heard_clicks",
    "pseudo_population",
    "responses",
    "simulated_responses",
]
