"""The bandit of Figure 1 of arXiv 2503.19595: mean, pass@k and centred policy gradients on 100 actions.

No language model: a trial is 1,000 independent bandits. The claims are in `_figure1_claims`, the ledger in
`_figure1_ledger`. Values marked "chosen" are ours because the paper does not state them.
"""

from repro.experiments._figure1_claims import CLAIMS
from repro.experiments._figure1_ledger import LEDGER
from repro.experiments.types import Arm, Experiment, ScaleSettings

SAMPLES = (2, 4, 8, 16, 32)  # the paper: 4; the others chosen
_ESTIMATORS = {
    "mean": ("Mean gradient", {"objective": "mean"}),
    "pass": ("max@k, leave-one-out", {"objective": "pass"}),
    "pass-biased": ("max@k, centred (inferred)", {"objective": "pass", "variant": "biased"}),
    "pass-naive": ("max@k, naive", {"objective": "pass", "variant": "naive"}),
    "mean-matched": ("Mean gradient, matched scale", {"objective": "mean", "scale": "matched"}),
}


def _arm(name: str, k: int) -> Arm:
    display, method = _ESTIMATORS[name]
    # One generation batch is the k samples of one update.
    return Arm(
        f"{name}-k{k}", f"{display}, k={k}", "ksample", {"n": k, **method},
        train={"completions_per_step": k, "micro_batch": k},
    )  # fmt: skip


ARMS = tuple(
    _arm(name, k)
    for k in sorted(SAMPLES, key=lambda k: (k != 4, k))
    for name in _ESTIMATORS
    if k == 4 or name != "mean-matched"
)

MICRO = ScaleSettings(
    task={"name": "bandit", "options": {"actions": 100}},
    base={"kind": "tabular", "instances": 1000},  # chosen
    seeds=1,  # a block of instances
    train={"steps": 1000, "learning_rate": 1.0, "checkpoint_every": 0, "eval_every": 0},  # steps chosen
    evaluation={},
)

EXPERIMENT = Experiment(
    id="figure1",
    title="Mean and k-sample policy gradients on a bandit",
    paper="inference_time",
    summary="100 actions, each with a fixed reward from a unit Gaussian; a softmax policy climbs the gradient of the "
    "mean reward, of the best of k samples with a leave-one-out control variate, of its centred form, or of the naive "
    "form without control variate. Mean reward against steps and against KL, best-of-k reward against steps, the "
    "number of samples k, and the estimators' bias and variance, which are exact.",
    arms=ARMS,
    metrics=("bandit:mean_reward", "bandit:max", "bandit:kl"),
    claims=CLAIMS,
    ledger=LEDGER,
    scales={"micro": MICRO},
)
