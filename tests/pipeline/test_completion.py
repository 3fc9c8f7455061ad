"""Completion of the command in shells: bash is asked, the scripts of the other shells are read."""

import shlex
import shutil
import subprocess

import pytest

from models.time_embeddings import TIME_EMBEDDINGS
from pipeline.__main__ import OPTIONS, SHELLS, VERBS, main
from pipeline.ls import LISTS, settings

PATHS = {f"--{row[0]}" for row in settings()[1]}


@pytest.fixture(scope="module")
def script():
    """The script of each shell."""

    def script(shell):
        with pytest.MonkeyPatch.context() as patched:
            said = []
            patched.setattr("builtins.print", said.append)
            assert main(["complete", shell]) == 0
        return said[0]

    return script


@pytest.fixture(scope="module")
def offered(script, tmp_path_factory):
    """What bash offers for the last of the words."""
    file = tmp_path_factory.mktemp("completion") / "time-embeddings"
    file.write_text(script("bash"))

    def offered(*words):
        code = f"""source {file}
            COMP_WORDS=(time-embeddings {shlex.join(words)}); COMP_CWORD={len(words)}
            eval "$(complete -p time-embeddings | sed 's/.*-F \\([^ ]*\\).*/\\1/')" 2>/dev/null
            printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-c", code], cwd=file.parent, capture_output=True, text=True, check=True)
        assert not done.stderr
        return set(done.stdout.split())

    return offered


def test_bash_offers_verbs_and_their_options(offered):
    assert offered("") == set(VERBS)
    assert offered("com") == {"compare", "complete"}
    assert {f"--{name}" for name in VERBS["compare"][1]} <= offered("compare", "--")
    assert not {f"--{name}" for name in OPTIONS if name not in VERBS["clean"][1]} & offered("clean", "--")


def test_bash_offers_every_setting_where_settings_are_taken(offered):
    assert offered("train", "--train.sched") == {path for path in PATHS if path.startswith("--train.sched")}
    assert offered("compare", "--") >= PATHS
    assert not PATHS & offered("verify", "--")


def test_bash_offers_names_and_files(offered):
    assert offered("train", "--models", "") == set(TIME_EMBEDDINGS)
    assert offered("compare", "--model.embedding.name", "sincos") == {"sincos", "sincos_learned"}
    assert offered("ls", "") == {*LISTS, "data"}
    assert offered("train", "--config", "time-") == {"time-embeddings"}  # the file of the script itself


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script_that_it_can_read(script, shell, tmp_path):
    text = script(shell)
    assert "time-embeddings" in text
    assert "model.embedding.dim" in text
    if shell in ("bash", "zsh", "fish", "tcsh") and shutil.which(shell):
        (tmp_path / "script").write_text(text)
        assert subprocess.run([shell, "-n", tmp_path / "script"], check=False).returncode == 0
