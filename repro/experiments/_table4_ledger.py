"""The deviation ledger of table4: where we differ from arXiv 2503.19595, and what it does not state."""

from repro.experiments.types import Deviation

LEDGER = (
    Deviation(
        "biased variant",
        "its formula is not public; a reviewer says that it centres the advantage",
        "the leave-one-out advantage less its mean over the k samples, reported apart from the unbiased one",
        "the simplest form that fits the words; it is the unbiased gradient of the (k-1)-sample objective",
    ),
    Deviation(
        "k",
        "several values studied, not stated; pass@4 on MATH and pass@8 on code are shown",
        "8 of 8 rollouts per prompt; arms with groups of 2 and 4 of the 8, and with 16 of 16",
        "the metric of the code figure; all arms sample as many completions",
    ),
    Deviation(
        "scale of the advantages",
        "not stated; no division by a standard deviation is attested",
        "the mean's advantages carry the 1/k of their estimator, the others do not; an arm with matched scale",
        "under Adam a constant factor acts through gradient clipping alone; the bandit (figure1) is plain SGD",
    ),
    Deviation(
        "ties in a vote",
        "not stated",
        "training: the expected reward over tied answers; evaluation: the answer that came first",
        "the expectation keeps the estimator unbiased; the rule of evaluation is that of the suite's other tables",
    ),
    Deviation(
        "samples without an answer",
        "not stated",
        "they abstain from the vote; no vote at all is worth 0",
        "as in evaluation",
    ),
    Deviation(
        "votes on code",
        "majority voting on code is not described",
        "by output behaviour on the test lists (micro) or the public inputs (real tasks); where equal behaviour is not "
        "equally right, an answer is worth the mean of its samples",
        "programs have no canonical form",
    ),
    Deviation(
        "optimiser, rate, batch, steps, temperature",
        "not stated",
        "AdamW without schedule; the rate from a grid of four, equal for every arm; 80 steps of 128 completions at "
        "temperature 1",
        "the suite's micro setting",
    ),
    Deviation(
        "KL penalty",
        "used or optional, coefficient and place not stated",
        "k3 in the loss, outside the aggregation; coefficient 0 or 0.02 by the tuning grid",
        "inside f a maximum or a vote would act on it",
    ),
    Deviation(
        "tuning",
        "not reported",
        "every core arm by its own objective on dev questions (pass@1, pass@8 or majority@8), 4 rates x 2 "
        "coefficients, one seed; the grid of maths was moved down once, for all its arms alike, after the two highest "
        "rates had made every arm worse; ablation arms take the values of the arm that they vary; one arm per "
        "task trains pass@8 with the values of the mean",
        "an arm that is chosen by another metric than it trains for is handicapped",
    ),
    Deviation(
        "PPO",
        "combination claimed; clip range, epochs and form not stated",
        "every token's ratio clipped to 0.8 … 1.2, summed over tokens, four updates per batch",
        "at ratio 1 its gradient is that of the plain estimator",
    ),
    Deviation(
        "task, maths",
        "MATH (7,500/5,000) with an 8B model, HARP and MATH with a 70B model",
        "micro: products of two numbers in written steps, three levels, a model of 0.16 million parameters; small and "
        "paper scale: MATH, tested on MATH-500; no HARP",
        "runs on a CPU; solve rates from about 1/2 to 1/16, so that pass@16 is not saturated",
    ),
    Deviation(
        "task, code",
        "CodeContests (12,275 of 13,328 problems), tested on CodeContests and TACO, Llama 3.1 70B",
        "micro: Python expressions from one example, executed on hidden inputs; small scale: MBPP, tested on "
        "HumanEval; paper scale: CodeContests without a filter, because the paper's rule is not known",
        "runs on a CPU; one example often fits several functions, so no single answer is certain",
    ),
    Deviation(
        "mean with k times the updates",
        "asked for by a reviewer; the authors' answer is not known",
        "batches of 16 completions (two prompts) and eight times the steps: as many completions, on-policy",
        "the only reading that leaves the number of samples alone",
    ),
    Deviation(
        "model",
        "Llama 3 8B and 70B, Llama 3.1 70B; instruct or base not stated",
        "paper scale: Llama 3.1 Instruct, 8B for maths and 70B for code; never run",
        "the released checkpoints that fit the names",
    ),
)
