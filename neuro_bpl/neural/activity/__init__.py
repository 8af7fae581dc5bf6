"""Activity of neurons and units along time and trials: aligned, binned, pooled, averaged over conditions."""
