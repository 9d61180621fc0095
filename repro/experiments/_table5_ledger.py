"""The deviation ledgers of table5 and table5-svamp: where we differ from arXiv 2504.20834 and 2505.07527."""

from repro.experiments.types import Deviation

SHARED = (
    Deviation(
        "T-SPMO",
        "advantage, loss, regulariser and replay rule are not public",
        "a reconstruction: mean reward of the completions that go on with a token less that of all that share the "
        "prefix; mean over the unique pairs of prefix and token, shared prefixes once; no regulariser; replay apart",
        "fits the descriptions: prefix trees, single transitions, few tokens; no number here is the paper's method's",
    ),
    Deviation(
        "token rule of S-GRPO",
        "second-hand; two public implementations read it in two other ways",
        "the literal reading: later tokens are kept with P while fewer than k are selected so far; the other readings "
        "are options",
        "the formula's words",
    ),
    Deviation(
        "alpha, k and P of S-GRPO",
        "not stated; another paper's baseline uses 150, 341 and 0.5 for long answers",
        "alpha 2, no cap, P from the tuning grid (0.25 or 0.5); arms with P = 0, 0.25, 0.5 and 1",
        "answers here have ten to twenty tokens: alpha = 150 would be full-token GRPO in disguise, and is reported so",
    ),
    Deviation(
        "full-token GRPO",
        "same partial LoRA; group size, rate, clip and KL not stated",
        "REINFORCE with a group baseline and standard deviation, mean over a completion's tokens, then over "
        "completions; one update per batch",
        "exactly S-GRPO with P = 1: the token rule is the only difference",
    ),
    Deviation(
        "LoRA",
        "rank, alpha, targets and layers not stated; a part of the layers [second-hand]",
        "rank 8, alpha 16, all linear matrices of the upper half of the layers; arms with all weights trained",
        "a partial update on every matrix of what is updated",
    ),
    Deviation(
        "optimiser, batch, group, steps, sampling",
        "not stated",
        "AdamW without schedule, 128 completions a step in groups of 8, temperature 1",
        "the suite's micro setting, equal for all arms",
    ),
    Deviation(
        "KRPO",
        "full fine-tuning of instruct models on 4 data sets; several updates per batch; filter's variances as in the "
        "authors' code",
        "the authors' filter, clip and KL coefficient, one update per batch under the same LoRA as the other arms; "
        "filtered in sampling order, reset per prompt",
        "beside S-GRPO on equal terms; at one update the clip is inert",
    ),
    Deviation(
        "memory",
        "one GPU of 40 GB; no peak stated",
        "predicted bytes of one process at Qwen2-1.5B's shapes, head at the selected positions only where the method "
        "selects; nothing measured on a GPU",
        "no GPU at hand; an independent project found equal peaks with and without selection",
    ),
)

LEDGER = (
    *SHARED,
    Deviation(
        "task, word problems",
        "SVAMP",
        "generated problems of one step in SVAMP's manner, own templates and words; the real SVAMP is table5-svamp",
        "a base trained from scratch needs more text than SVAMP has",
    ),
    Deviation(
        "task, multiplication",
        "built by the authors, 3-digit [second-hand]; form not stated",
        "factors of up to three and two digits, in written steps; a model trained from scratch on noisy demonstrations",
        "solve rates between 0 and 1 at every level, on a CPU",
    ),
    Deviation(
        "training set",
        "not stated",
        "200 problems a task, of which a run makes nearly five passes",
        "over-fitting is the claimed mechanism: it has to be possible",
    ),
    Deviation(
        "tuning",
        "not reported",
        "every tuned arm on dev questions of its task, 4 rates x 2 values of one parameter, one seed; variants take "
        "the values of the arm that they vary, those with all weights the rate of GRPO's own grid",
        "equal budgets",
    ),
)

SVAMP_LEDGER = (
    *SHARED,
    Deviation(
        "SVAMP",
        "split and prompt not stated",
        "trained on the 700 questions of the public train file, tested on the 300 of its test file; problem 680, whose "
        "answer contradicts its own equation, is kept",
        "the public split",
    ),
    Deviation(
        "learning curve",
        "not stated",
        "micro and paper scale: on the first questions of the test file; small scale: on a dev slice of its "
        "training file",
        "over-fitting can be seen without taking questions from training; nothing is chosen by the curve",
    ),
    Deviation(
        "model",
        "Qwen2-1.5B, base or instruct not stated",
        "micro: the model of table5's word problems, pre-trained on generated problems only, words that it never saw "
        "as one unknown token; small and paper scale: Qwen2-1.5B, the base weights; never run",
        "runs on a CPU",
    ),
    Deviation(
        "answer parser",
        "not stated; 46 % depends on it",
        "strict: the number after the answer mark; lenient: the last number; the base with worked examples in the "
        "prompt beside the base without",
        "a jump from 46 % can be learning of a format",
    ),
    Deviation(
        "tuning",
        "not reported",
        "none at micro scale: every arm takes the values that it was given by table5's tuning on generated problems",
        "all of the 700 questions are trained on",
    ),
)
