"""What our resources mean: names, models, and the CRDs generated from them."""
