"""The deviation ledger of table3: where we differ from A*-PO (arXiv 2505.20686) and REBEL (2404.16767)."""

from repro.experiments.types import Deviation

LEDGER = (
    Deviation(
        "entropy term of A*-PO",
        "absent from the formula; the released code subtracts 0.001 times the mean token entropy",
        "off; the ablation arm switches it on with 0.001",
        "the formula is the claim; against a gradient scaled by 2 beta2 = 0.002 the term is not small",
    ),
    Deviation(
        "V* of stage 1",
        "8 samples per prompt, beta1 0.5; the code takes beta1 = 0 for the plain mean",
        "8 samples, by log-sum-exp; beta1 0.5, at micro scale 0.5 or 2 by the dev split, and arms with 0.5, the mean "
        "and the maximum; 0 is an error that names mean and max",
        "the limit at 0 is the maximum, so the code's sentinel says the opposite of the formula",
    ),
    Deviation(
        "prompts that the base always fails",
        "kept by the authors' scripts; TRL's version drops them by default",
        "kept; the ablation arm drops them",
        "as the authors; the 28 % saving of time is second-hand and not tested",
    ),
    Deviation(
        "graders of the two stages",
        "they differ in the code: stage 1 takes the last number (GSM8K) or accepts truncated answers (MATH)",
        "one grader in both stages; a truncated answer is judged on its text",
        "V* must be the value of the reward that is trained on",
    ),
    Deviation(
        "stage 1 in the time",
        "not stated whether its generation is in the hours",
        "always counted, and shown apart; a reused stage 1 is charged its recorded cost",
        "a method that samples before training has sampled",
    ),
    Deviation(
        "stage 1 in the samples",
        "not counted by the paper's comparison",
        "arms share the completions sampled while training; the arm `counted` trains so many steps fewer that stage 1 "
        "is paid for",
        "8 samples of 512 prompts are 32 % of the 100 steps of 128 at micro scale, as 8 of 7,500 are of 724 steps of "
        "256",
    ),
    Deviation(
        "memory",
        "a percentage of unstated meaning; no peak is logged by the code, and vLLM's pool dominates small models",
        "predicted bytes of one process: weights, gradients, Adam's state, activations; no engine pool",
        "the methods differ in what training keeps, not in the pool",
    ),
    Deviation(
        "memory and FLOPs at the paper's shapes",
        "4 H100 with FSDP; states sharded",
        "planned on one card, nothing sharded, one sequence per micro-batch (REBEL: one pair), no gradient "
        "checkpointing, fp32 weights with bf16 autocast, reference in fp32",
        "how states are shared over cards depends on the framework; --set '*.sharding=fsdp' '*.processes=4' plans it",
    ),
    Deviation(
        "KL to the reference",
        "one number per model; the code logs the k1 estimate per token of training rollouts, the table's is not stated",
        "k1 on samples of test questions with the final weights: per token (as the code logs) and per response",
        "the same samples as the accuracy, so that both are paired by question",
    ),
    Deviation(
        "second minibatch of A*-PO",
        "2 updates per batch: the second is one step off-policy, without correction",
        "2 at every scale, uncorrected as well",
        "as the authors' script",
    ),
    Deviation(
        "PPO and GRPO as baselines",
        "rollouts per prompt, batch, learning rate and epochs not stated",
        "PPO n=1, GRPO n=4; micro scale tuned (2 or 4 minibatches, 1 or 4 for GRPO); paper scale A*-PO's settings with "
        "equal prompts per step",
        "the time of GRPO is proportional to its rollouts, so the factor of 2 depends on a number nobody published",
    ),
    Deviation(
        "REBEL as baseline",
        "samples per prompt (at least 2), eta, rate and epochs not stated; no script released",
        "2 samples, which are a pair; the policy that generated them as reference; eta 1, the paper's scale; 1 or 4 "
        "epochs tuned at micro scale, 1 epoch of 2 minibatches at paper scale",
        "the smallest faithful baseline; 4 epochs per batch are the default of REBEL's own code",
    ),
    Deviation(
        "REBEL's scale",
        "the code's loss is eta squared times the paper's",
        "the paper's; the code's is an option of the method",
        "at eta 1, where all arms are, both are one loss",
    ),
    Deviation(
        "optimizer",
        "A*-PO: AdamW, betas 0.9 and 0.999, weight decay 0.01, gradient norm 1, constant rate",
        "the same at paper scale; no weight decay at micro scale",
        "table1's setting, shared by every arm",
    ),
    Deviation(
        "end of an epoch",
        "the last, incomplete batch is dropped",
        "batches run on over the end of an epoch",
        "every prompt is seen equally often",
    ),
    Deviation(
        "keys of V*",
        "by row of the data file; TRL's version keys by prompt text, so duplicates share an entry",
        "by row",
        "two prompts with one text may have two answers",
    ),
    Deviation(
        "seeds of stage 1",
        "passes p = 0 … 7 with seed 50 p",
        "counter-based draws from the trial's own seed; one call",
        "equal in distribution; a seed of a trial then also covers the noise of V*",
    ),
    Deviation(
        "prompt template",
        "the raw question with an instruction; prompts over 256 tokens dropped after chat templating",
        "the task's template; a prompt longer than 256 tokens is an error",
        "no prompt is dropped silently; raise max_prompt where needed",
    ),
    Deviation(
        "model and data at micro scale",
        "Qwen2.5-1.5B, 3B and 7B on MATH and GSM8K",
        "table1's task and base: a small Qwen2-architecture model trained by the suite on noisy worked sums; 512 RL "
        "prompts, so that A*-PO sees each 25 times, as in the paper",
        "runs on two CPU cores in minutes; verdicts hold for this scale only and say so",
    ),
    Deviation(
        "learning rates at micro scale",
        "1e-6",
        "best of 4 rates x 2 values of one parameter on the dev split for every arm, one run (seed 1000) per grid "
        "point; rates and grids were set after ten runs on the dev split that are not stored (REBEL at 3e-4 with 1 "
        "epoch, not in its grid, came to 73 % there; A*-PO collapsed at 3e-4, and with V* = mean came to 80 %)",
        "a model a thousand times smaller needs larger rates; neighbouring grid points lie within the noise of one "
        "run, and REBEL's choice lies at the edge of its grid",
    ),
    Deviation(
        "untuned at micro scale",
        "not stated",
        "A*-PO's beta2, samples and minibatches; REBEL's eta; PPO's critic rate, lambda and KL; GRPO's KL; ablation "
        "arms take the values of the arm they vary, TBRM those of table1",
        "the budget is one method parameter per arm",
    ),
    Deviation(
        "seeds",
        "not stated; the tables show no spread",
        "paper scale 1 seed (no verdict on accuracy), other scales 5",
        "most differences of the paper's accuracies lie inside one standard error",
    ),
    Deviation(
        "claims not tested here",
        "A5 (best at 7B), A9 (GSM8K hours), A10 (16K context, base and data not found), A12 and A13, R1 (TL;DR)",
        "no contrast",
        "they need other models or data, or their numbers could not be read",
    ),
)
