"""The deviation ledger of table2: what RL^V and VinePPO do not state, and where this suite differs from them."""

from repro.experiments.types import Deviation

LEDGER = (
    Deviation(
        "lambda",
        "not stated; author scripts name values from 0.01 to 10 that may be lambda",
        "micro scale: 0.3 or 1 by the dev split, for each ^V arm apart; small and paper scale 0.3; ablation arms at "
        "0.05, 0.1, 3 and 10",
        "values within the range of the scripts",
    ),
    Deviation(
        "verification prompt",
        "a question whether the solution is correct, Yes or No; the wordings of figure and code differ, final "
        "punctuation not stated",
        "a second user turn after the solution; micro models have tokens of their own for the question, Yes and No",
        "the form of the authors' GRPO scripts; a micro vocabulary has no words",
    ),
    Deviation(
        "stop token in the verifier's context",
        "kept in the author code",
        "kept: the verdict turn follows the stop token of the same row",
        "one pass serves both losses",
    ),
    Deviation(
        "truncated completions as verification examples",
        "not stated",
        "used like all others, labelled by their reward",
        "their reward is known, and leaving them out would be a choice about the label mix",
    ),
    Deviation(
        "balance of Yes and No",
        "not stated",
        "off; an option, and an ablation arm (grpo-n4-v-balanced)",
        "the plain likelihood over all rollouts is what the formula says",
    ),
    Deviation(
        "reduction of the verification loss",
        "an expectation over rollouts; mean per rollout or per token not stated",
        "mean over the rollouts of an update; one verdict token each",
        "with one token both readings agree",
    ),
    Deviation(
        "verification loss over PPO epochs",
        "not stated",
        "joins every update of the base method, so an example counts once per epoch",
        "both losses belong to the same step",
    ),
    Deviation(
        "verifier score",
        "author code: raw probability of Yes, drawn at temperature 1, 0 outside the 20 most likely tokens",
        "raw P(Yes) at temperature 1, exact; the score normalised over Yes and No is recorded beside it",
        "the cut at 20 tokens belongs to the engine's interface",
    ),
    Deviation(
        "samples without an answer",
        "author code leaves them out of the verifier's accuracy",
        "they count, labelled wrong; the accuracy among samples with an answer is recorded beside it",
        "a verifier must reject them too",
    ),
    Deviation(
        "ties and votes without an answer",
        "not stated",
        "ties go to the answer drawn first; a sample without an answer never wins; with none at all the vote is wrong",
        "deterministic, and without favour to any rule",
    ),
    Deviation(
        "averaging below the pool's size",
        "not stated; author code scores powers of two from one pool",
        "subsets without replacement from one pool per question, exact or by 1,000 random subsets",
        "all N come from the same samples",
    ),
    Deviation(
        "judge baseline",
        "LLM-as-a-judge; whether with base or RL-tuned weights is not stated",
        "the RL-tuned weights of the base method, same prompt, same score",
        "the model that a user of the base method has",
    ),
    Deviation(
        "sample-efficiency factor",
        "8-32x; how it was read off is not stated",
        "samples of the base method by majority voting at its best accuracy, over samples of its ^V form by weighted "
        "voting at that accuracy, between sizes on a line over log N; it cannot exceed the N at which the base method "
        "is at its best, and where that is below the claimed factor the claim is inconclusive",
        "majority voting needs no verifier, so it is the base method's own rule; the judge's weighted vote is in the "
        "records",
    ),
    Deviation(
        "sequential scaling",
        "generation length raised step by step, by budget forcing as far as known; a long chain-of-thought model on "
        "AIME'24",
        "the pool's samples cut at each budget: a longer sample has no answer yet; the factor compares means over "
        "budgets, on the easy-to-hard set, with short chains of thought",
        "nothing has to be sampled again; forcing an answer would need a prompt that the paper does not give",
    ),
    Deviation(
        "GRPO",
        "variant not stated",
        "group mean and sample standard deviation, all tokens weighted equally, no KL term",
        "the common form",
    ),
    Deviation(
        "Leave-one-out PPO",
        "cited from LOOP; minibatches and epochs not stated",
        "leave-one-out advantages without division by the standard deviation, clipped ratio per token, at least two "
        "updates per batch",
        "with one update the ratio is exactly 1 and clipping does nothing",
    ),
    Deviation(
        "VinePPO: fresh rollouts",
        "K = 9 for every step's prefix",
        "paper scale 9, micro and small scale 3 (ablation arms 1 and 9); identical prefixes are estimated once",
        "cost; K = 3 is one of the values the digests name",
    ),
    Deviation(
        "VinePPO: sampled completions",
        "fresh rollouts come on top of the trained ones",
        "the same: arms are equal in completions that are trained on, not in all that are sampled; the cost of the "
        "fresh ones is a phase of its own, and part of the time per step",
        "the claim is about credit assignment, its price is claim V15",
    ),
    Deviation(
        "VinePPO: unfinished completions",
        "reward 0",
        "a fresh rollout that reaches the length limit counts 0; a completion that is trained on is judged on its text",
        "the suite's one rule for rewards; both agree wherever an answer ends with its end token",
    ),
    Deviation(
        "VinePPO: step splitter",
        "sentence ends and line breaks outside formulas, long parts broken",
        "the task's own splitter, moved to the next token boundary",
        "continuations start from sampled tokens, never from text that is tokenised again",
    ),
    Deviation(
        "VinePPO: whitening",
        "over the distributed minibatch, in author code",
        "over the whole generation batch",
        "then the result does not depend on how the batch is split",
    ),
    Deviation(
        "VinePPO: KL term and safeguards",
        "1e-4 times the mean over sequences of the summed, clamped estimator; a minibatch whose mean ratio exceeds 10 "
        "counts nothing",
        "the same term; no such rule for minibatches",
        "dropping a minibatch would make the loss depend on the split",
    ),
    Deviation(
        "VinePPO: sampling",
        "temperature 0.6 and top-p 0.9",
        "paper scale temperature 0.6 for every arm, no top-p",
        "top-p biases the ratios; all arms share their sampling, and RL^V does not state its own",
    ),
    Deviation(
        "VinePPO: run and batch",
        "64 problems x 8 rollouts, 1,000 iterations, warm-up and linear decay; about 45 or 64 episodes per question",
        "paper scale 128 problems x 4 rollouts, 300 steps, constant rate, for every arm",
        "the arms share one budget; settings of RL^V around VinePPO are not stated",
    ),
    Deviation(
        "PPO baseline of VinePPO",
        "KL as a loss term; critic from the policy's weights",
        "ablation arm ppo-n4: this suite's PPO, KL penalty in the reward, lambda 1",
        "one PPO for all experiments",
    ),
    Deviation(
        "learning rates, group size, KL, clip range, steps of RL^V",
        "not stated for short chains of thought",
        "micro scale: best of 4 rates x 2 values of one parameter on the dev split, one run (seed 1000) per grid "
        "point, n = 4, clip range 0.2; small and paper scale rate 1e-6",
        "a ^V arm shares the minibatches of its base method, tuned before it, so that its grid is rate x lambda; "
        "GRPO^V's rate and lambda lie at the edge of their grids, and neighbouring points within the noise of one run",
    ),
    Deviation(
        "ablation arms",
        "not stated",
        "not tuned: each takes the values of the arm it varies",
        "they differ in nothing but what they vary",
    ),
    Deviation(
        "separate verifier",
        "author scripts name separately trained verifiers; their data is not stated",
        "weights of its own, from the same start, trained on the rollouts of its own run, whose policy is plain GRPO; "
        "the unified arm's rollouts are those of another policy from the second update on",
        "no arm may see rollouts that its own policy did not draw",
    ),
    Deviation(
        "classification head",
        "author script, unfinished: one layer on the logits",
        "a layer on the last hidden state at the verdict position, binary cross-entropy; no regression head",
        "the usual form of such a head; with 0/1 labels a regression head has the same optimum",
    ),
    Deviation(
        "evaluation",
        "MATH500, MATH^2, GPQA Diamond Physics, AIME'24; 512 samples on MATH500; at most 1,024 or 2,048 tokens, by set "
        "not confirmed",
        "paper scale the same sets, 512 samples on MATH500, 128 on MATH^2 and GPQA, 64 on AIME'24, temperature 0.7, at "
        "most 2,048 tokens; small scale MATH500 and AIME'24 (as the hard set), 64 samples",
        "the settings of the author code",
    ),
    Deviation(
        "model and data at micro scale",
        "Qwen2.5-Math-1.5B on MATH",
        "a small Qwen2-architecture model trained by the suite on worked calculations with levels: RL on short ones, "
        "tests on the same levels, on longer ones, and on ones with multiplications",
        "runs on two CPU cores; verdicts hold for this scale only and say so",
    ),
    Deviation(
        "what the micro base knows of verdicts",
        "a pretrained model that can answer Yes or No, about half of the time rightly [second-hand]",
        "every base demonstration is followed by a verdict, half of them drawn at random: the base's judge is informed "
        "but unsure, so the judge baseline is better than chance",
        "a base that had seen only the form of a verdict learned nothing about judging within the RL budget",
    ),
    Deviation(
        "choice of the micro setting",
        "not applicable",
        "the form of the task, its noise, the share of verdicts, steps and the range of rates were set after pilot "
        "runs (about a dozen bases; GRPO and GRPO^V, one run each, seed 1000, dev split; none is stored)",
        "in earlier forms right and wrong working looked alike to a model of this size, which then ranked samples no "
        "better than chance; hasty steps are a visible trace of error by design",
    ),
    Deviation(
        "tuning criterion",
        "not stated",
        "sampled accuracy of a single answer on the dev split of the trained levels, for every arm; nothing was tuned "
        "for voting or for the verifier",
        "one criterion for arms with and without a verifier",
    ),
    Deviation(
        "seeds",
        "not stated",
        "paper scale 1 seed (no verdict; --seeds 5 gives one), other scales 5",
        "gaps of a point cannot be told from noise with one run",
    ),
    Deviation(
        "claims not tested here",
        "R7 (confidence sets the length), V16 (accuracy of Monte-Carlo values), the speed to PPO's peak",
        "no contrast; the early-stop curve behind R7 is in the records",
        "the papers give no value, or none that could be read",
    ),
)
