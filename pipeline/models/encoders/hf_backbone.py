"""A pretrained network: loading it, what of it is trained, and what it says.

Adapters (Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP", figure 2) are
small bottlenecks after each block, added to what the block says and zero at first, so that
training begins at the pretrained network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality

Output: TypeAlias = Tensor | tuple[Tensor, ...]

NOT_LOADABLE = (OSError, ValueError, RuntimeError, ImportError, SafetensorError)
"""What the library raises about files that it cannot read or use."""

_NOT_TAKEN = (ValueError, RuntimeError, TypeError, IndexError)  # inputs of another kind or length

# The part of a model of two modalities that sees one of them.
_HALVES = {
    Modality.VIDEO: "vision_model",
    Modality.AUDIO: "audio_model",
    Modality.TEXT: "text_model",
}
_NO_WEIGHTS = ("position_ids",)
_UNUSED = ("pooler", "masked_spec_embed", *_NO_WEIGHTS)  # do not reach the last hidden state


class Adapter(nn.Module):
    """``h + W_2 gelu(W_1 norm(h))``, hung behind a block."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """``(..., H)`` to the same."""
        adapted: Tensor = hidden + self.up(F.gelu(self.down(self.norm(hidden))))
        return adapted

    def after(self, _block: nn.Module, _inputs: object, output: Output) -> Output:
        """The hook of a block; its output is a tensor, or a tuple that begins with it."""
        if isinstance(output, tuple):
            return (self(output[0]), *output[1:])
        adapted: Tensor = self(output)
        return adapted


class Backbone(nn.Module):
    """The network of one modality.

    Attributes:
        source: Folder or name that it came from.
        config: The library's description of the network.
        local: Whether companions (tokenizer, feature extractor) may only be local as well.
    """

    def __init__(self, network: nn.Module, source: str, mode: str, local: bool) -> None:
        super().__init__()
        self.network = network
        self.source, self.mode, self.local = source, mode, local
        self.config: Any = network.config
        self.adapters = nn.ModuleList()
        if mode != "full":
            network.requires_grad_(False)
            network.eval()

    def train(self, mode: bool = True) -> Backbone:
        """Go to training or back; a network that is not trained keeps its dropout off."""
        super().train(mode)
        if self.mode != "full":
            self.network.eval()
        return self

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Last hidden state ``(B, N, H)``; maps ``(B, H, h, w)`` come as ``N = h w``."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.mode != "frozen"):
            hidden: Tensor = self.network(**inputs).last_hidden_state
        return hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden

    def try_out(self, inputs: dict[str, Tensor], adapter_width: int, what: str) -> int:
        """Run once to learn the width ``H`` of what it says, and make ready what is trained.

        Args:
            inputs: Something to run it on.
            adapter_width: Numbers in the middle of an adapter.
            what: What that is, in words.

        Raises:
            ModelError: The network does not take such inputs.
        """
        widths: dict[nn.Module, int] = {}

        def note(block: nn.Module, _inputs: object, output: Output) -> None:
            first = output[0] if isinstance(output, tuple) else output
            widths[block] = first.shape[-1]

        blocks = _blocks(self.network) if self.mode == "adapter" else []
        hooks = [block.register_forward_hook(note) for block in blocks]
        try:
            hidden = self.eval()(inputs)
        except _NOT_TAKEN as error:
            kind = getattr(self.config, "model_type", "unknown")
            raise ModelError(
                f"a model of type {kind!r} does not take {what}: {_first_line(error)}",
                where=self.source,
                fix="name a model that does",
            ) from error
        for hook in hooks:
            hook.remove()
        self._hang_on(widths, adapter_width)
        if self.mode == "full":
            self._freeze_unused(hidden)
        self.train()
        return int(hidden.shape[-1])

    def _hang_on(self, widths: dict[nn.Module, int], bottleneck: int) -> None:
        for block, width in widths.items():
            adapter = Adapter(width, bottleneck)
            self.adapters.append(adapter)
            block.register_forward_hook(adapter.after)

    def _freeze_unused(self, hidden: Tensor) -> None:
        """Poolers and alike do not reach the last hidden state: they could not learn."""
        parameters = list(self.network.parameters())
        found = torch.autograd.grad(hidden.sum(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.requires_grad_(gradient is not None)


def _blocks(network: nn.Module) -> list[nn.Module]:
    """The layers of a Transformer: the longest list of modules in it."""
    lists = [list(m) for m in network.modules() if isinstance(m, nn.ModuleList)]
    return max(reversed(lists), key=len, default=[])


def load_backbone(source: str, modality: Modality, mode: str, local: bool) -> Backbone:
    """Load the network for a modality.

    Raises:
        ModelError: It is not there, not readable, or knows nothing of this modality.
    """
    # By halves the library would leave the weights of some models (CLAP) at random.
    whole = load_whole(source, local, _UNUSED)
    return Backbone(getattr(whole, _HALVES[modality], whole), source, mode, local)


def load_whole(source: str, local: bool, unused: Sequence[str] = _NO_WEIGHTS) -> nn.Module:
    """Load all of a model.

    Args:
        source: Its folder or name.
        local: Never fetch anything.
        unused: Weights that may be missing, by a part of their names.

    Raises:
        ModelError: It is not there, not readable, or lacks other weights.
    """
    if local and not Path(source).is_dir() and Path(source).is_absolute():
        raise ModelError("no such folder", where=source)
    try:
        whole, report = transformers.AutoModel.from_pretrained(
            source,
            local_files_only=local,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below in fewer words than the library's
        )
    except NOT_LOADABLE as error:
        raise not_loaded(error, source, local) from error
    other = sorted(name for name, *_ in report["mismatched_keys"])
    if other:
        raise ModelError(
            f"{len(other)} weights are of another size than config.json says, {other[0]!r} first",
            where=source,
            fix="name a folder whose config.json and weights belong together",
        )
    missing = [k for k in report["missing_keys"] if not any(name in k for name in unused)]
    if missing:
        raise ModelError(
            f"the pretrained model lacks {len(missing)} of its weights, {missing[0]!r} first",
            where=source,
            fix="name a folder that holds the whole model",
        )
    return cast("nn.Module", whole)


def not_loaded(error: Exception, source: str, local: bool) -> ModelError:
    """What to say when the library cannot load something."""
    fix = "download it first, or set local_files_only: false" if local else "check the name"
    if isinstance(error, ImportError):
        fix = "install what it needs"
    elif Path(source).is_dir():
        fix = "name the folder that holds the model's config.json and weights, all of them whole"
    told = f"the pretrained model cannot be loaded: {_first_line(error)}"
    return ModelError(told, where=source, fix=fix)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
