"""Wrong changes to the code of the laws, and whether the tests notice."""
