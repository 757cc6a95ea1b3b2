"""What a stock AI worker needs beside it in a pod: a broker of its own, an answer for Docker."""
