"""The same for choice sets: agreement task by task, tastes, groups, products that were left out."""
