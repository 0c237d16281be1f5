"""Posterior predictive checks: is a pool what its model takes it for?"""
