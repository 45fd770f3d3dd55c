"""From a study to a panel: backends that answer and the runner that asks them."""
