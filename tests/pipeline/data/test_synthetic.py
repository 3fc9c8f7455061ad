import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from pipeline.data.synthetic import SyntheticConfig


def test_sizes_classes_and_lengths_are_as_asked():
    splits = SyntheticConfig(train_size=90, validation_size=30, test_size=60, classes=3, longest=5).load()
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [90, 30, 60]
    assert torch.bincount(splits.test.labels).tolist() == [20, 20, 20]
    assert splits.train.lengths.min() == 1
    assert splits.train.lengths.max() == 5


def test_without_noise_every_event_lies_in_the_segment_of_its_class():
    train = SyntheticConfig(noise=0.0, classes=4, horizon=64).load().train
    assert torch.equal(train.times.long() // 16, torch.repeat_interleave(train.labels, train.lengths))


def accuracy_from(describe):
    splits = SyntheticConfig().load()
    model = LogisticRegression(max_iter=1000).fit(describe(splits.train), splits.train.labels.numpy())
    return model.score(describe(splits.test), splits.test.labels.numpy())


def test_the_times_give_the_class_away_and_the_lengths_do_not():
    def share_in_each_segment(data):
        owner = torch.repeat_interleave(torch.arange(len(data)), data.lengths)
        counts = torch.zeros(len(data), 4).index_put_(
            (owner, data.times.long() // 16), torch.tensor(1.0), accumulate=True
        )
        return (counts / data.lengths[:, None]).numpy()

    assert accuracy_from(share_in_each_segment) > 0.85
    assert accuracy_from(lambda data: np.eye(13)[data.lengths.numpy()]) < 0.35


def test_another_seed_draws_other_sequences():
    assert SyntheticConfig(split_seed=1).load().digest != SyntheticConfig().load().digest
