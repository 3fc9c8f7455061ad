"""Writes the table of settings into README.md: `.venv/bin/python -m scripts.readme_options`, after a config changed."""

from pathlib import Path

from pipeline.ls import settings_markdown

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- settings: begin -->\n", "\n<!-- settings: end -->"


def main() -> None:
    """Replace what stands between the two markers."""
    text = README.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    README.write_text(f"{before}{BEGIN}{settings_markdown()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
