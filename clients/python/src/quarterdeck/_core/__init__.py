"""What both clients share: no input, no output, no clock."""
