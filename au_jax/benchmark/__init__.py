"""Speed of the parts of a training and of face finding, measured on this machine."""
