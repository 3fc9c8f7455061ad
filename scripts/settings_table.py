"""Writes the table of settings into docs/settings.md: run `.venv/bin/python -m scripts.settings_table` after a config changed."""

from pathlib import Path

from pipeline.ls import settings_markdown

PAGE = Path(__file__).resolve().parents[1] / "docs/settings.md"
BEGIN, END = "<!-- settings: begin -->\n", "\n<!-- settings: end -->"


def main() -> None:
    """Replace the text between the two markers."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}{settings_markdown()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
