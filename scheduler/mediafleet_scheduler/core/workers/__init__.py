"""Rules of the AI worker broker: who may register, who gets a task, what becomes of it. Pure."""
