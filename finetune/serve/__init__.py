"""A trained model as a service: an OpenAI-compatible server, its chat page, and a chat in the terminal."""
