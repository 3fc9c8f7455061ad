from pipeline.config import RunConfig, config_hash
from pipeline.settings import build_run


def test_equal_configs_have_equal_hashes_and_the_seed_does_not_count():
    assert config_hash(RunConfig(seed=0)) == config_hash(RunConfig(seed=7))
    assert config_hash(build_run({"train.epochs": 49})) != config_hash(RunConfig())
