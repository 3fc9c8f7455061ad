import itertools
import math
import sys

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from models.time_embeddings import TIME_EMBEDDINGS
from pipeline.errors import UsageError
from pipeline.identity import ROOT
from pipeline.machine import has_bf16, resolve_device, resolve_kernel, resolve_precision
from pipeline.settings import build_run
from pipeline.study import load_study
from pipeline.training import loop as module
from pipeline.training.batches import batches_of
from pipeline.training.choice import best_epoch, out_of_patience
from pipeline.training.evaluation import predict, score
from pipeline.training.loop import fit
from pipeline.training.optimizers import OPTIMIZERS
from pipeline.training.schedules import SCHEDULES
from pipeline.training.start import start

CPU = torch.device("cpu")
SMALL = {
    "data.name": "mnist_sample",
    "data.max_events": 12,
    "model.hidden_dim": 8,
    "model.embedding.dim": 4,
    "train.batch_size": 32,
    "train.epochs": 3,
}


def small(**settings):
    return build_run({**SMALL, **{key.replace("__", "."): value for key, value in settings.items()}})


def weights(config, epochs=None):
    splits = config.data.load()
    training = start(config, splits, CPU)
    for _ in itertools.islice(fit(training, splits, config, "fp32"), epochs):
        pass
    return training


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_the_same_config_gives_the_same_weights_bit_for_bit():
    assert same(weights(small()).model, weights(small()).model)


def test_another_seed_gives_other_weights():
    assert not same(weights(small()).model, weights(small(seed=1)).model)


@pytest.mark.parametrize("scheduler", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("embedding", ["position", "lete"])
def test_a_resumed_run_ends_like_one_that_never_stopped(embedding, optimizer, scheduler):
    settings = {"train__optimizer": optimizer, "train__scheduler__name": scheduler}
    config = small(**settings, model__embedding__name=embedding, model__dropout=0.5)
    whole = weights(config)
    half = weights(config, epochs=1).state_dict()
    splits = config.data.load()
    resumed = start(config, splits, CPU)
    resumed.load_state_dict(half)
    assert [epoch.number for epoch in fit(resumed, splits, config, "fp32")] == [2, 3]
    assert same(whole.model, resumed.model)


def test_models_of_one_seed_start_from_the_same_recurrent_weights():
    config = small()
    table = start(config, config.data.load(), CPU).model
    waves = start(small(model__embedding__name="sincos", model__embedding__dim=4), config.data.load(), CPU).model
    assert same(table.layers, waves.layers)
    assert same(table.head, waves.head)


def test_every_sequence_is_seen_once_an_epoch_in_an_order_of_its_own():
    config = small()
    train = config.data.load().train
    first, second = (torch.cat(batches_of(train, config, number)) for number in (1, 2))
    assert torch.equal(first.sort().values, torch.arange(len(train)))
    assert not torch.equal(first, second)


def test_the_order_is_shared_by_all_models_of_a_seed():
    config = small()
    train = config.data.load().train
    other = small(model__embedding__name="lete", model__embedding__dim=4)
    assert all(
        torch.equal(a, b) for a, b in zip(batches_of(train, config, 1), batches_of(train, other, 1), strict=True)
    )


def test_bucketed_batches_hold_every_sequence_once_and_similar_lengths():
    config = small(train__batching="bucketed")
    train = config.data.load().train
    batches = batches_of(train, config, 1)
    assert torch.equal(torch.cat(batches).sort().values, torch.arange(len(train)))
    spread = [train.lengths[batch].max() - train.lengths[batch].min() for batch in batches]
    mixed = [train.lengths[batch].max() - train.lengths[batch].min() for batch in batches_of(train, small(), 1)]
    assert sum(spread) < sum(mixed)


def test_accumulation_makes_the_same_update_from_smaller_parts():
    one = weights(small(model__dropout=0), epochs=1)
    parts = weights(small(model__dropout=0, train__accumulation_steps=4), epochs=1)
    for a, b in zip(one.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_balanced_weights_are_those_of_scikit_learn_and_0_for_a_class_without_sequences():
    train = small().data.load().train
    rare = train.select(torch.cat([torch.nonzero(train.labels == 3)[:2, 0], torch.nonzero(train.labels == 5)[:6, 0]]))
    expected = compute_class_weight("balanced", classes=np.array([3, 5]), y=rare.labels.numpy())
    found = module._balanced(rare)
    assert found[[3, 5]].tolist() == pytest.approx(expected.tolist())
    assert found.sum() == found[[3, 5]].sum()


def test_weighted_losses_are_the_same_in_parts():
    """A sequence weighs the same whichever others are in its batch."""
    generator = torch.Generator().manual_seed(0)
    logits, weights_K = torch.randn(12, 4, generator=generator), torch.tensor([2.0, 0.5, 1.0, 0.25])
    labels = torch.arange(12) % 4
    parts = [module._weighted(logits[part], labels[part], weights_K) for part in torch.arange(12).split([1, 11])]
    assert (parts[0] + 11 * parts[1]) / 12 == pytest.approx(module._weighted(logits, labels, weights_K).item())
    assert not same(weights(small(train__class_weights="balanced")).model, weights(small()).model)


def test_the_train_score_of_an_epoch_is_the_mean_over_its_sequences():
    # With a learning rate of (almost) nothing and no dropout, the running mean is the score of the model itself.
    config = small(train__learning_rate=1e-12, train__weight_decay=0, model__dropout=0, train__batch_size=33)
    splits = config.data.load()
    training = start(config, splits, CPU)
    epoch = next(fit(training, splits, config, "fp32"))
    expected = score(predict(training.model, splits.train), splits.train.labels)
    assert epoch.train.loss == pytest.approx(expected.loss, rel=1e-5)
    assert epoch.train.accuracy == pytest.approx(expected.accuracy)


def test_clipping_bounds_the_update_and_reports_the_norm_before_it():
    free = small(
        train__optimizer="sgd",
        train__learning_rate=1.0,
        train__clip_norm=0,
        train__weight_decay=0,
        train__batch_size=400,
    )
    splits = free.data.load()
    before = torch.cat([weight.detach().flatten().clone() for weight in start(free, splits, CPU).model.parameters()])
    training = start(free.model_copy(update={"train": free.train.model_copy(update={"clip_norm": 0.01})}), splits, CPU)
    config = small(
        train__optimizer="sgd",
        train__learning_rate=1.0,
        train__clip_norm=0.01,
        train__weight_decay=0,
        train__batch_size=400,
    )
    epoch = next(fit(training, splits, config, "fp32"))
    after = torch.cat([weight.detach().flatten() for weight in training.model.parameters()])
    updates = math.ceil(len(splits.train) / 400)
    assert (after - before).norm() <= 0.01 * updates * 1.001
    assert epoch.gradient_norm > 0.01


def test_the_step_schedule_halves_the_learning_rate():
    config = small(train__scheduler__step_size=1)
    splits = config.data.load()
    rates = [epoch.learning_rate for epoch in fit(start(config, splits, CPU), splits, config, "fp32")]
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where():
    config = small()
    splits = config.data.load()
    training = start(config, splits, CPU)
    with torch.no_grad():
        training.model.head.weight[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="training: loss must be finite, got nan in epoch 1 at step 1 of"):
        next(fit(training, splits, config, "fp32"))


@pytest.mark.skipif(not has_bf16(CPU), reason="this processor has no bf16 instructions")
def test_bf16_keeps_the_embedding_and_the_result_in_float32():
    config = small(model__embedding__name="sincos", model__embedding__dim=4)
    splits = config.data.load()
    training = start(config, splits, CPU)
    half, full = (predict(training.model, splits.test, precision) for precision in ("bf16", "fp32"))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, atol=0.05, rtol=0)
    assert not torch.equal(half, full)


def test_a_compiled_lstm_learns_what_that_of_torch_learns():
    config = small(model__dropout=0.0)
    splits = config.data.load()
    answers = []
    for compiled in (True, False):
        training = start(config, splits, CPU)
        training.model.compiled = compiled
        list(fit(training, splits, config, "fp32"))
        answers.append(predict(training.model, splits.test))
    torch.testing.assert_close(*answers, atol=1e-4, rtol=0)
    assert torch.equal(*answers) == (resolve_kernel("fp32", CPU) == "torch")


@pytest.mark.parametrize("in_bf16", [False, True])
def test_a_compiled_lstm_is_for_what_the_processor_has_instructions_for(monkeypatch, in_bf16):
    monkeypatch.setattr("models.lstm.choice.can_compile", lambda *, rounds: in_bf16 or not rounds)
    assert resolve_kernel("fp32", CPU) == "compiled"
    assert resolve_kernel("bf16", CPU) == ("compiled" if in_bf16 else "torch")
    assert resolve_kernel("fp32", torch.device("cuda")) == "torch"


def test_predictions_do_not_depend_on_the_batches():
    config = small()
    splits = config.data.load()
    model = start(config, splits, CPU).model
    some = splits.test.select(torch.tensor([5, 2, 9]))
    torch.testing.assert_close(predict(model, some), predict(model, splits.test)[[5, 2, 9]])


def test_an_unknown_or_absent_device_is_refused():
    with pytest.raises(UsageError, match="--device: must be auto, cpu, cuda or cuda:N, got tpu"):
        resolve_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="with 0 of CUDA"):
            resolve_device("cuda")


@pytest.mark.parametrize("present", [True, False])
def test_auto_precision_is_fp32_on_a_processor_and_bf16_on_a_gpu_that_has_it(monkeypatch, present):
    monkeypatch.setattr("pipeline.machine.has_bf16", lambda _: present)
    assert resolve_precision("auto", CPU) == "fp32"
    assert resolve_precision("auto", torch.device("cuda")) == ("bf16" if present else "fp32")
    assert resolve_precision("fp32", CPU) == "fp32"


@pytest.mark.parametrize("present", [True, False])
def test_bf16_is_refused_where_the_processor_has_no_instructions_for_it(monkeypatch, present):
    monkeypatch.setattr("pipeline.machine.has_bf16", lambda _: present)
    if present:
        assert resolve_precision("bf16", CPU) == "bf16"
    else:
        with pytest.raises(UsageError, match=r"train\.precision: must be auto or fp32 on a CPU without bf16"):
            resolve_precision("bf16", CPU)


RAW = {"sincos_learned", "time2vec", "fte", "bochner", "mercer", "learnable_fourier"}


@pytest.mark.parametrize("name", TIME_EMBEDDINGS)
def test_learned_frequencies_of_raw_times_have_a_rate_of_their_own_and_do_not_decay(name):
    config = small(model__embedding__name=name, model__embedding__dim=8, train__learning_rate=1e-2)
    training = start(config, config.data.load(), CPU)
    names = {weight: name.removeprefix("embedding.") for name, weight in training.model.named_parameters()}
    first, *rest = training.optimizer.param_groups
    lines = {"lete": {"w1_fourier", "w1_spline"}, "lete_gap": {"w1_fourier", "w1_spline"}}
    lines |= {"lete_fourier": {"w1_fourier"}, "lete_spline": {"w1_spline"}}
    expected = {"frequencies"} if name in RAW else {f"{line}.exponent" for line in lines.get(name, ())}
    assert {names[weight] for group in rest for weight in group["params"]} == expected
    assert [(group["lr"], group["weight_decay"]) for group in rest] == [(pytest.approx(1e-3), 0)] * bool(expected)
    assert (first["lr"], first["weight_decay"]) == (1e-2, 1e-4)
    trained = {weight for weight in training.model.parameters() if weight.requires_grad}
    assert {weight for group in (first, *rest) for weight in group["params"]} == trained


@pytest.mark.parametrize(
    "settings",
    [
        {"train__frequency_rate": 1},
        {"model__embedding__time_scale": "unit"},
        {"model__freeze_embedding": True},
    ],
    ids=str,
)
def test_frequencies_are_as_all_weights_where_nothing_tells_them_apart(settings):
    config = small(model__embedding__name="lete", **settings)
    assert len(start(config, config.data.load(), CPU).optimizer.param_groups) == 1


def test_the_published_protocols_train_frequencies_as_all_weights():
    for file in ("lete_paper", "kan_mammote_protocol"):
        for config in load_study(ROOT / f"config/{file}.json").variants.values():
            assert config.train.frequency_rate == 1
            assert getattr(config.model.embedding, "slopes", "linear") == "linear"


def test_the_cosine_schedule_takes_every_group_to_its_final_fraction():
    config = small(model__embedding__name="lete", train__scheduler__name="cosine", train__scheduler__final_fraction=0.5)
    training = weights(config)
    assert training.epoch == 3
    assert [group["lr"] for group in training.optimizer.param_groups] == pytest.approx([5e-4, 5e-5])


def test_the_best_epoch_is_chosen_on_validation_alone():
    def row(epoch, accuracy, loss, test):
        return {"epoch": epoch, "validation/accuracy": accuracy, "validation/loss": loss, "test/accuracy": test}

    history = [row(1, 0.5, 1.0, 0.99), row(2, 0.7, 0.9, 0.1), row(3, 0.7, 0.8, 0.2), row(4, 0.6, 0.1, 0.9)]
    assert best_epoch(history) == 3
    assert best_epoch([{"epoch": 1}, {"epoch": 2}]) == 2
    assert out_of_patience(history, 2)  # the third epoch has a lower loss than the second, and the same accuracy
    assert not out_of_patience(history, 3)
    assert not out_of_patience(history, 0)


@pytest.mark.gpu
def test_batches_and_predictions_are_those_of_the_processor_on_a_device():
    config = small(train__batching="bucketed")
    splits = config.data.load()
    model = start(config, splits, CPU).model
    device = torch.device("cuda")
    expected = [batches_of(splits.train, config, 1), predict(model, splits.test)]
    on_device = splits.to(device)
    batches, log_probabilities = batches_of(on_device.train, config, 1), predict(model.to(device), on_device.test)
    assert all(torch.equal(one, other) for one, other in zip(batches, expected[0], strict=True))
    torch.testing.assert_close(log_probabilities, expected[1], atol=1e-4, rtol=0)


def test_the_loop_asks_the_device_no_more_often_for_more_batches(monkeypatch):
    splits = small().data.load()
    asked = []

    def watch(name):
        method = getattr(torch.Tensor, name)

        def watched(self):
            if sys._getframe(1).f_code.co_filename == module.__file__:
                asked.append(name)
            return method(self)

        monkeypatch.setattr(torch.Tensor, name, watched)

    for name in ("item", "tolist", "__bool__", "__int__", "__float__"):
        watch(name)
    counts = []
    for size in (400, 50):
        config = small(train__batch_size=size, train__epochs=1)
        training = start(config, splits, CPU)
        asked.clear()
        list(fit(training, splits, config, "fp32"))
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0
