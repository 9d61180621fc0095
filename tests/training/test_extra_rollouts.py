"""VinePPO's extra rollouts: cuts on token boundaries, each prefix once, values apart from what is trained on."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from repro.methods.catalogue import create
from repro.methods.configs import build, to_json
from repro.tasks.outcome import Outcome
from repro.training import extra_rollouts
from repro.training.extra_rollouts import step_starts, step_values, token_ends
from repro.training.rollout import sample

from .helpers import make_trainer, reward_by_text


def words(vocabulary: list[str]) -> PreTrainedTokenizerFast:
    """Tokens of several characters: a step may end inside one."""
    ids = {token: i for i, token in enumerate(["<eos>", *vocabulary])}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<eos>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", clean_up_tokenization_spaces=False)


def lines(text: str) -> list[str]:
    return [part for part in text.replace("|", "|\0").split("\0") if part]


def test_a_cut_inside_a_token_moves_to_the_tokens_end():
    tokenizer = words(["ab|", "c|d", "e", "f|", "g"])
    ids = [1, 2, 3, 4, 5]  # ab| c|d e f| g
    assert tokenizer.decode(ids) == "ab|c|def|g" and token_ends(tokenizer, ids) == [3, 6, 7, 9, 10]
    # The step that ends inside "c|d" ends with it; the last step needs no cut.
    assert step_starts(tokenizer, lines, ids) == [1, 2, 4]
    assert step_starts(tokenizer, lines, ids[:1]) == []
    assert step_starts(tokenizer, lines, []) == []


def test_two_cuts_in_one_token_make_one_step():
    tokenizer = words(["a", "|b|c|", "d"])
    assert step_starts(tokenizer, lines, [1, 2, 3]) == [2]


def trainer_of(base, folder, **options):
    trainer = make_trainer(base, "", folder, method=create(to_json("vineppo", build("vineppo", {"n": 4, **options}))))
    reward_by_text(trainer)
    return trainer


def test_values_are_means_of_k_rewards_and_every_prefix_is_drawn_once(base, tmp_path, monkeypatch):
    trainer = trainer_of(base, tmp_path, k=3)
    rows = [0] * 4 + [5] * 4
    sampled = sample(trainer, rows, 0)
    jobs = []
    go_on = extra_rollouts._continue
    monkeypatch.setattr(
        extra_rollouts, "_continue", lambda trainer, some, limit: jobs.extend(some) or go_on(trainer, some, limit)
    )
    steps, values = step_values(trainer, sampled, rows, 0)
    prefixes = [(row, prefix) for row, prefix, _ in jobs]
    draws = {(draw.prompt, draw.index) for *_, draw in jobs}
    assert len(set(prefixes)) * 3 == len(prefixes) and len(draws) == len(jobs)  # each once, three times, own noise
    assert {draw.stream for *_, draw in jobs} == {"extra"}
    assert {row for row, prefix in prefixes if prefix == ()} == {0, 5}
    for i in range(8):
        length = int(sampled.mask[i].sum())
        count = int(steps[i].max()) + 1
        assert (steps[i, :length] >= 0).all() and (steps[i, length:] == -1).all()
        assert (steps[i, :length].diff() >= 0).all() and (steps[i, :length].diff() <= 1).all()
        assert ((values[i, :count] * 3).round() == values[i, :count] * 3).all() and (values[i, count:] == 0).all()
        completion = sampled.completion_ids[i, :length].tolist()
        for s in range(count):
            start = int((steps[i] == s).nonzero()[0])
            assert (rows[i], tuple(completion[:start])) in set(prefixes)
    # Rows of one prompt share the prompt's value.
    assert (values[:4, 0] == values[0, 0]).all() and (values[4:, 0] == values[4, 0]).all()
    again = step_values(trainer, sampled, rows, 0)
    assert torch.equal(again[0], steps) and torch.equal(again[1], values)


def test_a_continuation_at_the_length_limit_scores_0(base, tmp_path):
    trainer = trainer_of(base, tmp_path, k=2)
    trainer.task.check = lambda texts, prompts: [Outcome.CORRECT] * len(texts)
    end = trainer.eos_token_ids[0]
    jobs = [(0, (4, 5), None), (0, (), None), (0, (), None)]
    assert extra_rollouts._grade(trainer, jobs, [[6, end], [6, 7, 8], []]) == [1.0, 0.0, 0.0]


def test_a_cap_estimates_the_first_states_only(base, tmp_path, monkeypatch):
    trainer = trainer_of(base, tmp_path, k=1, cap=1)
    rows = [0] * 4 + [3] * 4
    jobs = []
    monkeypatch.setattr(
        extra_rollouts,
        "_estimate",
        lambda trainer, prefixes, step: jobs.extend(prefixes) or (dict.fromkeys(prefixes, 1.0), 0, 0.0),
    )
    _, values = step_values(trainer, sample(trainer, rows, 0), rows, 0)
    assert {prefix for _, prefix in jobs} == {()} and (values[:, 0] == 1).all() and (values[:, 1:] == 0).all()


def test_extra_rollouts_are_a_phase_of_their_own_and_change_nothing_but_values(base, tmp_path):
    """The rows that are trained on are those of a method without extra rollouts."""
    trainer = trainer_of(base, tmp_path / "vine", k=2)
    other = make_trainer(base, "grpo", tmp_path / "grpo")
    rows = [0] * 4 + [7] * 4
    ours, theirs = sample(trainer, rows, 0), sample(other, rows, 0)
    assert torch.equal(ours.completion_ids, theirs.completion_ids)
    trainer.train()
    phases = trainer.timer.to_json()
    assert phases["extra_rollouts"]["tokens"] > 0 and phases["extra_rollouts"]["seconds"] > 0
    assert phases["extra_rollouts"]["calls"] == trainer.settings.steps
    assert phases["extra_rollouts"]["flops"] > 0
