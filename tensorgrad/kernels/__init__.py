"""Plain NumPy on arrays, for what takes more than one call of NumPy. Knows no tensors and imports nothing of ours."""
