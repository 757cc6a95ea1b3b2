"""An orchestrator that gateways talk to, whose answers carry our list."""
