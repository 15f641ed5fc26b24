"""The same input through upstream and through this package: equal results."""
