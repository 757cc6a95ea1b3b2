"""Rules of the advertiser: who is listed, in which order. Pure."""
