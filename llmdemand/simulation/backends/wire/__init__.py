"""How a server of the OpenAI protocol is reached, and what comes back."""
