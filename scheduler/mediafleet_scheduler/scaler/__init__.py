"""KEDA's external scaler and `GET /demand`: one servicer for all desks."""
