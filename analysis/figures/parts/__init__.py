"""What figures are drawn with: a style, panels, strips and labels."""
