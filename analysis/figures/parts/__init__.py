"""Building blocks of figures: style, panels, strips and labels."""
