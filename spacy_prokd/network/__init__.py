"""The network of ProKD in plain PyTorch: imports neither spaCy nor Thinc, readable beside the paper."""
