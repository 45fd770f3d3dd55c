"""What a panel says of the choices: beliefs, corrected beliefs, choices."""
