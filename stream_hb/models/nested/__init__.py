"""Nested pools: a chain has regions, a region has stores.

A store is drawn to its region, and the region to the chain: a region with many stores speaks for
itself, one with few borrows from the chain. All families take ``Described`` groups and read their
regions (covariates are ignored); a store whose region is not known (-1) is a region of its own.

What a fit returns knows the regions' posteriors besides the hyperparameters, as they were when it
was fitted. Given its region a store's posterior needs only its own data, so any part of the stores
can be asked for by itself, and the answer is exact for the data of the fit; a store's later data
move the store at once and its region at the next fit.
"""
