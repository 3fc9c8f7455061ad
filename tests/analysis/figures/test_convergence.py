from analysis import run_analyses


def test_convergence_says_what_was_not_reached(study, draw):
    results = study(
        draw({"sincos": 0.6, "lete": 0.9}),
        curve=lambda model, seed, _split, epoch: 0.5 if (model, seed) == ("lete", 0) else epoch / 9,
    )
    figure = run_analyses(results, ["convergence"])[0].figures["convergence_analysis"]
    texts = [note.text for note in figure.layout.annotations]
    assert "not reached" in texts
    assert "<b>5</b> (1 of 3 seeds)" in texts
