"""Whether a checkpoint from outside can do a task at all: its tokenizer, its context, its weights.

What does not fit would otherwise be measured as a bad model, or end in an error deep inside a library.
"""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from repro.errors import InputError, explain
from repro.training.tokenizer import load_tokenizer

MOST_UNKNOWN = 0.5  # of a prompt set's tokens; a micro model that learned words reads SVAMP with a twelfth unknown


def model_config(folder: Path) -> PretrainedConfig:
    """The config of a causal language model; InputError for a folder that holds something else."""
    try:
        found = AutoConfig.from_pretrained(folder)
    except Exception as error:  # what libraries raise for a file that they cannot read is no closed list
        raise InputError(f"model {folder}: its config.json cannot be used: {explain(error)}") from error
    if type(found) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(f"model {folder} is a {found.model_type}, not a causal language model that writes text")
    return found


def load_model(folder: Path, **options):
    """The model of a folder; InputError unless its safetensors hold every weight that its config asks for."""
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **options
        )
    except Exception as error:
        raise InputError(f"model {folder} cannot be loaded: {explain(error)}") from error
    missing = sorted(info["missing_keys"]) or sorted(str(key) for key in info["mismatched_keys"])
    if missing:
        raise InputError(
            f"model {folder}: its weights do not belong to its config.json: {missing[0]} and {len(missing) - 1} others "
            "are missing or of another shape; save it again with save_pretrained"
        )
    return model


def own_tokenizer(folder: Path):
    """The tokenizer of a folder; InputError if it cannot be read."""
    try:
        return load_tokenizer(folder)
    except Exception as error:
        raise InputError(f"model {folder}: its tokenizer cannot be loaded: {explain(error)}") from error


def check_fit(tokenizer, folder: Path, task, prompts: list[list[int]], max_completion: int) -> None:
    """InputError unless the checkpoint in `folder` can read the task's prompts, in ids, and has room for answers."""
    missing = [sign for sign in getattr(task, "symbols", "") if not _known(tokenizer, sign)]
    if missing:
        raise InputError(
            f"the tokenizer of {folder} has no token for {' '.join(missing)}, which task {task.name} is written with: "
            "name a checkpoint that knows the task's characters"
        )
    unknown = sum(token == tokenizer.unk_token_id for ids in prompts for token in ids)
    share = unknown / max(1, sum(map(len, prompts)))
    if share > MOST_UNKNOWN or not all(prompts):
        raise InputError(
            f"the tokenizer of {folder} does not know {100 * share:.0f} % of the tokens in the prompts of task "
            f"{task.name}, as template {task.template.name} renders them: name another checkpoint or another template"
        )
    room = getattr(model_config(folder).get_text_config(), "max_position_embeddings", None)
    longest = max(map(len, prompts))
    if room is not None and longest + max_completion > room:
        remedy = f"lower evaluation.max_completion to {room - longest}" if longest < room else "it cannot hold them"
        raise InputError(
            f"model {folder} has room for {room} tokens, but prompts of task {task.name} have up to {longest} and "
            f"completions up to {max_completion}: {remedy}"
        )


def _known(tokenizer, sign: str) -> bool:
    ids = tokenizer(sign, add_special_tokens=False)["input_ids"]
    return bool(ids) and tokenizer.unk_token_id not in ids
