"""Findings written as Markdown, HTML, LaTeX and JSON."""
