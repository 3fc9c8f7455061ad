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


def test_what_moves_in_the_first_epochs_is_not_called_instability(study, draw):
    panels = {}
    for epochs in (6, 30):
        finding = run_analyses(study(draw({"sincos": 0.6, "lete": 0.9}), epochs=epochs), ["convergence"])[0]
        figure = finding.figures["convergence_analysis"]
        panels[epochs] = {note.text for note in figure.layout.annotations} & {"<b>Instability (points)</b>"}
        assert ("because the model is learning" in finding.summary) == (epochs == 6)
        assert ("over the last 10 epochs (validation)" in finding.summary) == (epochs == 30)
    assert panels == {6: set(), 30: {"<b>Instability (points)</b>"}}
