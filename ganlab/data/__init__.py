"""Pictures in memory: what a data set is, and where data sets come from."""
