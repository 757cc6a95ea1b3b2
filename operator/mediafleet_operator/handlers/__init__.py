"""The process: watches put keys into a queue, workers take keys and bring fleets in order."""
