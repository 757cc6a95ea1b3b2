"""Autoscalers on virtual time: one world, one scenario file, several engines."""
