"""The deviation ledger of figure1: what arXiv 2503.19595 does not state, and what we chose."""

from repro.experiments.types import Deviation

_OPEN = "not stated"

LEDGER = (
    Deviation(
        "steps",
        _OPEN,
        "1,000; every claim on learning is tested after 10 and 100 steps and at the end",
        "the winner of the mean panel changes in between",
    ),
    Deviation(
        "repetitions",
        _OPEN,
        "1,000 independent bandits, each with rewards and samples of its own; --seeds N runs N thousand",
        "the standard error of a mean reward is then below 0.02",
    ),
    Deviation(
        "pairing",
        _OPEN,
        "all arms share rewards and uniforms (inverse CDF; of two k the smaller sees the first positions)",
        "differences are then paired bandit by bandit",
    ),
    Deviation(
        "policy and initialisation",
        _OPEN,
        "softmax over 100 logits that start at 0: the uniform policy",
        "the plainest choice without a preference among actions",
    ),
    Deviation(
        "gradients",
        _OPEN + ": exact or sampled",
        "sampled: k fresh actions per step, plain gradient ascent, no Adam, no clipping, no batch of prompts",
        "the caption speaks of k samples per update",
    ),
    Deviation(
        "curves",
        _OPEN,
        "exact expectations under the policy (mean, max@k from sorted rewards, KL), mean over bandits, band from the "
        "10th to the 90th percentile",
        "the only noise left is that of learning",
    ),
    Deviation(
        "mean gradient",
        "called mean policy gradient; its constant is not known",
        "leave-one-out baseline with the factor 1/k, which is what the k-sample form gives for f = mean",
        "at k = 2 it then equals the centred form step by step",
    ),
    Deviation(
        "scale of the gradients",
        "learning rate 1.0 for all three; whether the mean gradient carries 1/k is not stated",
        "equal learning rate, and an arm at matched scale (without 1/k)",
        "the winner may depend on it; the mean gradient at learning rate k is the same update as the matched one, so "
        "it is not run twice",
    ),
    Deviation(
        "biased variant",
        "the formula could not be read",
        "A_i less the mean of the A_j: inferred from a reviewer's word that it centres the advantage",
        "unbiased for one sample fewer; leave-one-out and centred are always reported apart",
    ),
    Deviation(
        "naive variant",
        "described, not among the three curves of the figure",
        "an arm of its own: f(y) for every sample, no baseline",
        "C2 and C3 are about it",
    ),
    Deviation(
        "pass@k reward",
        "of real-valued rewards",
        "max@k, the expected best reward of k samples, at the k of the arm",
        "the same aggregation that is trained",
    ),
    Deviation(
        "KL efficiency",
        "a curve of mean reward against KL; direction and measure of KL are not stated",
        "KL from the policy to the uniform initial policy; mean reward of a bandit when its KL first reaches 1, 2 and "
        "3 nats, linear between two steps; bandits without a value in both arms are left out, and at most 5 % may be",
        "one number per bandit, so that it can be paired; ln 100 = 4.6 nats is the most there is",
    ),
    Deviation(
        "k",
        "4",
        "4; 2, 8, 16 and 32 as well, each judged by its own max@k",
        "the objective itself changes with k",
    ),
    Deviation(
        "variances",
        "orders in k, without setting",
        "at the uniform policy: exact for every bandit and averaged over the reward draws (standard error stated); and "
        "exact with half of the 100 rewards 1 and half 0, where the order O(k) is meant to hold",
        "no Monte-Carlo error is left but that of the rewards",
    ),
    Deviation(
        "reference set-up of the enumeration",
        "none",
        "4 actions, logits and rewards from numpy's default_rng(0); majority: two actions share the right answer, tied "
        "answers share the reward",
        "small enough to enumerate all 4^k tuples",
    ),
    Deviation(
        "learning rate",
        "1.0",
        "1.0, not tuned",
        "the only setting of its kind that the caption states",
    ),
    Deviation(
        "claims not tested here",
        "C5 (where pass@k has a signal), C6 and C7 (trade-offs on language models), C8 (PPO), C9 (another paper)",
        "no contrast; C5 is a unit test",
        "they need a language model, or follow from the formula",
    ),
)
