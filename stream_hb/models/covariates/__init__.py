"""Covariates in the prior mean: groups are exchangeable only given what is known of them."""
