from analysis.statistics.randomness import stream


def test_a_named_stream_gives_the_same_draws_again():
    assert stream("a", 1).random() == stream("a", 1).random() != stream("a", 2).random()
