"""Generation with vLLM, for evaluation: the contract of the transformers backend, with another engine behind it.

What differs from the transformers backend:
1. The uniforms are vLLM's own: each request carries a seed that is a hash of its `Draw`. So a rerun on one machine
   repeats and the samples of one prompt differ, but the two backends agree in distribution only.
2. Weights come from a folder and stay fixed: training through vLLM is TRL's own colocate mode, not this file.
3. The log-probabilities are the engine's. `mismatch` says how far they lie from the trainer's.

The engine runs inside this process: in a process of its own, the batches it composes (and with them the last bits of
the logits) would depend on when requests arrive. Its prefix cache is emptied before each call for the same reason.
Not covered: top-k, top-p, penalties, LoRA adapters, more than one device, multimodal models.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib.util
import json
import logging
import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from repro.errors import InputError
from repro.sampling.uniforms import STREAMS, Draw

INSTALL = (
    "install it with `pip install 'repro-bench[vllm]'` on a GPU machine (without a GPU, `tox -e vllm` shows the set of "
    "packages), or leave the backend at transformers"
)
HOTTEST = 2.0  # vLLM refuses more
# Bytes of key-value cache on a CPU, where the share `memory` would be one of all main memory.
CPU_CACHE = 1 << 30
# Read by vLLM when it is imported or an engine starts. What the user has set wins, except for the forced ones.
_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # stdout belongs to the command line
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # other trials share the cores
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
}
_FORCED = ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_NO_USAGE_STATS", "VLLM_DO_NOT_TRACK")


def require() -> None:
    """Raise InputError without vLLM. Cheap (nothing is imported): call it before anything is trained."""
    try:
        found = importlib.util.find_spec("vllm") is not None
    except (ImportError, ValueError):  # a module whose spec is broken
        found = False
    if not found:
        raise InputError(f"vLLM is not installed; {INSTALL}")


def request_seed(draw: Draw) -> int:
    """The seed of one request, in [0, 2**63): a function of its draw alone."""
    words = f"{draw.seed}:{STREAMS[draw.stream]}:{draw.step}:{draw.prompt}:{draw.index}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1


def mismatch(engine: Sequence[Sequence[float]], trainer: Sequence[Sequence[float]]) -> dict:
    """Absolute difference per token of two sets of log-probabilities (rows of any length, in nats).

    Returns `tokens`, and `mean` and `max` over all of them (None without tokens). ValueError if the rows differ in
    length: they would be those of different completions.
    """
    if [len(row) for row in engine] != [len(row) for row in trainer]:
        raise ValueError("the log-probabilities to compare belong to completions of different lengths")
    pairs = [pair for rows in zip(engine, trainer, strict=True) for pair in zip(*rows, strict=True)]
    gaps = np.abs([one - other for one, other in pairs])
    if not gaps.size:
        return {"tokens": 0, "mean": None, "max": None}
    return {"tokens": int(gaps.size), "mean": float(gaps.mean()), "max": float(gaps.max())}


class Engine:
    """A model folder loaded in vLLM. Use it as a context manager, or call `close`: one engine at a time.

    `max_length` bounds prompt plus completion in tokens; `memory` is the share of the GPU's memory that the engine may
    take (unused on a CPU). Raises InputError without a working vLLM, or for a folder that it cannot load.
    """

    def __init__(self, folder: Path, *, max_length: int, seed: int = 0, dtype: str = "float32", memory: float = 0.4):
        self._llm = None
        self.max_length = max_length
        vllm, on_cpu = _load()
        if on_cpu:
            _check_head_size(Path(folder))
        place = {"kv_cache_memory_bytes": CPU_CACHE} if on_cpu else {"gpu_memory_utilization": memory}
        try:
            with _globals_kept():
                self._llm = vllm.LLM(
                    model=str(folder),
                    skip_tokenizer_init=True,
                    dtype=dtype,
                    max_model_len=max_length,
                    seed=seed % (1 << 32),
                    generation_config="vllm",  # not the model's own: it may hold penalties, top-k or top-p
                    logprobs_mode="processed_logprobs",  # those of the distribution that was sampled from
                    enforce_eager=on_cpu,  # compiling takes longer there than any micro evaluation
                    disable_log_stats=True,
                    **place,
                )
        except Exception as error:  # vLLM raises errors of many kinds, some of them pages long
            _clean_up()
            raise InputError(f"vLLM cannot load {folder}: {_line(error)}; leave the backend at transformers") from error
        self._sampling_params = vllm.SamplingParams

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        draws: Sequence[Draw] | None,
        *,
        max_new_tokens: int,
        temperature: float,
        end_ids: Sequence[int],
        pad_id: int | None = None,
    ) -> list[list[int]]:
        """Completion ids of each prompt, cut after the first end token (which is kept).

        `draws` None or temperature 0 means greedy decoding. A completion that reaches `max_new_tokens` without an end
        token is truncated: its last id is not in `end_ids`. `pad_id` is taken and unused: this engine does not pad.
        """
        outputs = self._run(prompts, draws, max_new_tokens, temperature, end_ids, None)
        return [list(output.token_ids) for output in outputs]

    def generate_with_logps(
        self,
        prompts: Sequence[Sequence[int]],
        draws: Sequence[Draw] | None,
        *,
        max_new_tokens: int,
        temperature: float,
        end_ids: Sequence[int],
        pad_id: int | None = None,
    ) -> tuple[list[list[int]], list[list[float]]]:
        """As `generate`, and the engine's log-probability of each of these tokens at the temperature (greedy: at 1)."""
        outputs = self._run(prompts, draws, max_new_tokens, temperature, end_ids, 0)
        completions = [list(output.token_ids) for output in outputs]
        logps = [
            [position[token].logprob for token, position in zip(output.token_ids, output.logprobs, strict=True)]
            for output in outputs
        ]
        return completions, logps

    def _run(self, prompts, draws, max_new_tokens, temperature, end_ids, logprobs) -> list:
        if self._llm is None:
            raise RuntimeError("this vLLM engine is closed")
        if not prompts:
            return []
        longest = max(len(prompt) for prompt in prompts)
        if longest + max_new_tokens > self.max_length:
            raise InputError(
                f"a prompt of {longest} tokens and {max_new_tokens} new ones do not fit the {self.max_length} tokens "
                "that the vLLM engine was started for; lower evaluation.max_completion with --set"
            )
        if temperature > HOTTEST:
            raise InputError(
                f"vLLM samples at temperatures up to {HOTTEST}, not {temperature}; lower it, or use transformers"
            )
        greedy = draws is None or temperature == 0
        seeds = [None] * len(prompts) if greedy else [request_seed(draw) for draw in draws]
        requests = [
            self._sampling_params(
                temperature=0.0 if greedy else temperature,
                top_p=1.0,
                top_k=0,
                min_p=0.0,
                seed=seed,
                max_tokens=max_new_tokens,
                # Ours are all end tokens there are; the model's own would be added to them.
                stop_token_ids=list(end_ids),
                ignore_eos=True,
                detokenize=False,
                logprobs=logprobs,
            )
            for seed in seeds
        ]
        self._llm.reset_prefix_cache()
        outputs = self._llm.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts], requests, use_tqdm=False
        )  # fmt: skip
        return [output.outputs[0] for output in outputs]

    def close(self) -> None:
        """Free weights and cache. A second call does nothing."""
        if self._llm is None:
            return
        llm, self._llm = self._llm, None
        llm.llm_engine.engine_core.shutdown()
        del llm
        _clean_up()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _load():
    """The vllm module and whether it runs on a CPU; InputError when it is missing or does not import."""
    require()
    for name, value in _ENVIRONMENT.items():
        if name in _FORCED:
            os.environ[name] = value
        else:
            os.environ.setdefault(name, value)
    try:
        with _globals_kept():
            import vllm
            from vllm.platforms import current_platform

            # Lazy attributes: only this imports the engine, and with it whatever may be missing.
            _ = vllm.LLM, vllm.SamplingParams
    except Exception as error:  # a half-removed package fails in any way: ImportError, OSError, AttributeError ...
        raise InputError(f"vLLM is installed but does not import ({_line(error)}); {INSTALL}") from error
    # TRL may have imported vLLM before us, with its own idea of how much to say.
    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"].upper())
    return vllm, current_platform.is_cpu()


def _check_head_size(folder: Path) -> None:
    # vLLM notices only in the kernel of the first request, with a message about template parameters.
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    try:
        config = json.loads((folder / "config.json").read_text())
        size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # not of this form; vLLM says what is wrong with it
    known = CPUAttentionBackend.get_supported_head_sizes()
    if size not in known:
        raise InputError(
            f"vLLM on a CPU has no attention of head size {size}, only of {', '.join(map(str, known))}; leave the "
            "backend at transformers, or choose hidden and heads of the model for one of these"
        )


@contextlib.contextmanager
def _globals_kept():
    """Undo what starting an engine does to the process: seeds, thread function, and libraries preloaded in children."""
    import torch

    preload, threads = os.environ.get("LD_PRELOAD"), torch.set_num_threads
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_num_threads = threads
        os.environ.pop("LD_PRELOAD", None)
        if preload is not None:
            os.environ["LD_PRELOAD"] = preload


def _clean_up() -> None:
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    gc.collect()
    cleanup_dist_env_and_memory()


def _line(error: Exception) -> str:
    """Kind and message of an error on one line of bounded length."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]
