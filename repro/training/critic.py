"""PPO's critic: a separate network of the base model's shape with a scalar head."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel


def recompute(companion: nn.Module) -> None:
    """Gradient checkpointing for the network of a critic or a judge, as for the policy's; a bare head needs none."""
    if hasattr(companion.network, "gradient_checkpointing_enable"):
        companion.network.gradient_checkpointing_enable()
        companion.train()  # transformers recomputes in training mode only


class Critic(nn.Module):
    """V(s_t) from the hidden state that precedes token t. The head starts at zero, so the first values are zero."""

    def __init__(self, network: nn.Module, hidden_size: int):
        super().__init__()
        self.network = network
        self.head = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @classmethod
    def from_base(cls, folder: str | Path) -> Critic:
        """Load the base model's weights (fp32) as the critic's network."""
        network = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        network.config.use_cache = False
        return cls(network, network.config.get_text_config().hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, keep: int) -> Tensor:
        """Values (b, T) of the last `keep` positions: values[:, t] is V before token t."""
        hidden = self.network(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        return self.head(hidden[:, -keep - 1 : -1]).squeeze(-1).float()

    def save(self, folder: Path) -> None:
        save_file(
            {name: value.contiguous() for name, value in self.state_dict().items()}, folder / "critic.safetensors"
        )

    def load(self, folder: Path) -> None:
        self.load_state_dict(load_file(folder / "critic.safetensors"))
