"""The rooms of the page: one module for each thing that operators look at."""
