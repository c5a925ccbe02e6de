"""What a webhook says, written as one service reads it. One file per service; see `base`."""
