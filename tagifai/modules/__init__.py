"""Model modules: Python files that train another kind of model, each in an environment of its own."""
