"""Rows of data sets on the Hugging Face hub, at a resolved commit.

Needs a connection or a filled cache; no code of a data set is run (only its data files are loaded).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from repro.errors import InputError
from repro.tasks.files import Row


def fetch(hub_id: str, config: str | None, split: str, revision: str | None) -> tuple[Iterator[Row], str | None]:
    """The rows of one split and the commit they come from (None where a cached copy does not tell)."""
    import datasets

    commit = revision if revision and re.fullmatch("[0-9a-f]{40}", revision) else _commit(hub_id, revision)
    try:
        loaded = datasets.load_dataset(hub_id, config, split=split, revision=commit or revision)
    # The libraries below raise a dozen types (HTTP, cache, parsing); to the user they all mean: no data from the hub.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"cannot load {hub_id} from the hub ({reason}); connect to the network, or name a folder with the files "
            "by --data-dir"
        ) from error
    if commit is None:
        # Without a connection the commit is still in the addresses that the cached copy was built from.
        found = re.search("@([0-9a-f]{40})", " ".join(getattr(loaded, "download_checksums", None) or ()))
        commit = found[1] if found else None
    return (Row(f"{hub_id}, {split} row {number}", dict(row)) for number, row in enumerate(loaded)), commit


def _commit(hub_id: str, revision: str | None) -> str | None:
    import huggingface_hub

    try:
        return huggingface_hub.HfApi().dataset_info(hub_id, revision=revision).sha
    except Exception:  # offline, or no such data set: load_dataset decides which and says so
        return None
