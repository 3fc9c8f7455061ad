"""Findings as pages and files: Markdown, HTML, LaTeX, JSON."""
