def test_the_histogram_counts_every_sequence(figures):
    bars = [trace for trace in figures["temporal_patterns"].data if trace.type == "bar"]
    assert sum(bars[0].y) == 400
