"""Models: posteriors of groups given hyperparameters, and fits of the hyperparameters."""
