"""What kmq takes beside other tools: same start, same stopping rule, same result, then time."""
