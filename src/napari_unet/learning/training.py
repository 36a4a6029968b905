"""The network's training, one optimiser step at a time, able to take new strokes."""

from __future__ import annotations

import copy
import math
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import nn

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.patches import PatchSampler
from napari_unet.config import LearnerConfig
from napari_unet.core.device import (
    autocast,
    empty_cache,
    free_memory,
    out_of_memory_errors,
    seeded,
)
from napari_unet.core.distributed import current_team
from napari_unet.core.head import RidgeHead
from napari_unet.core.losses import IGNORE_INDEX, sparse_loss
from napari_unet.errors import OutOfMemoryError, TrainingError
from napari_unet.learning.batches import Batch, make_sampler, weigh_classes
from napari_unet.learning.candidates import Network
from napari_unet.learning.optimizer import make_optimizer
from napari_unet.learning.trained_head import LinearHead, OwnHead, TrainedHead
from napari_unet.learning.trainer_state import (
    RandomFacts,
    TrainerFacts,
    TrainerState,
    load_weights,
    part_of,
    set_generator,
)

__all__ = ["Trainer"]

_SMALLEST_PATCH_PX = 32
_MAX_BAD_STEPS = 10
_WARM_UP_STEPS = 20
_LONGEST_GRADIENT = 1.0
_HEAD_RATE = 10.0  # times the network's learning rate: the head follows its features


class Trainer:
    """Trains a network on patches around strokes and averages its weights.

    What is painted is to be right, and where nothing is painted, the network is to stay
    near what the teacher predicts: a few strokes tell too little to move all weights
    by themselves.

    Parameters
    ----------
    network
        Start weights; copied. It may see the planes around, where patches show them.
    teacher
        The pretrained network, which sees planes; None: there is none, and nothing to
        stay near to.
    config
        Settings.
    learning_rate
        Of the optimiser.
    device
        Where to train.
    trained
        The last layer to go on from; only for the paper's recipe.
    """

    def __init__(
        self,
        network: Network,
        teacher: Network | None,
        config: LearnerConfig,
        learning_rate: float,
        device: torch.device,
        trained: TrainedHead | None = None,
    ) -> None:
        self.config, self.device = config, device
        self._is_paper = config.recipe == "paper"
        self.network, self._teacher = network, teacher
        self.unet = copy.deepcopy(network.unet).to(device).requires_grad_(True)
        self.unet.to(memory_format=self.unet.memory_format)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.unet).eval().requires_grad_(False)
        self.values: tuple[int, ...] = ()
        self.n_steps = 0
        self.version = -1
        self.batch_size = config.fine_tune.batch_size
        self.patch_px = config.fine_tune.patch_px
        self._learning_rate = learning_rate
        self._n_bad = 0
        self._is_short_of_memory = False
        self._team = current_team()
        seed = (config.seed, self._team.rank) if self._team.rank else config.seed
        self._rng = np.random.default_rng(seed)
        self._generator = torch.Generator().manual_seed(config.seed + self._team.rank)
        self._head: LinearHead | OwnHead = LinearHead(network, device)
        if self._is_paper:
            self._head = OwnHead(network, self.unet, self.average, config.seed)
            if trained is not None:
                self._head.resume(trained)
        tuning = config.fine_tune
        self._optimizer = make_optimizer(self.unet, tuning, tuning.weight_decay)
        self._head_optimizer = make_optimizer(self._head, tuning, 0.0)
        self._sampler: PatchSampler | None = None
        self._annotations: AnnotationSet | None = None
        self._heads: tuple[RidgeHead, RidgeHead] | None = None

    def take(
        self, annotations: AnnotationSet, head: RidgeHead, teacher_head: RidgeHead
    ) -> None:
        """Train on this annotation from the next step on.

        Parameters
        ----------
        annotations
            What is painted.
        head
            The closed-form head fitted to it without the held-out strokes, for the same
            classes: training goes on from its weights.
        teacher_head
            The same on the teacher's features.
        """
        self._head.start_from(head, annotations.values)
        self._team.share(self.unet)
        self._team.share(self._head)
        if not self._is_short_of_memory:  # else a batch may lack some of the classes
            least = 1 if self._is_paper else len(annotations.values)
            self.batch_size = max(self.config.fine_tune.batch_size, least)
        self.go_on(annotations, head, teacher_head)

    def go_on(
        self,
        annotations: AnnotationSet,
        head: RidgeHead,
        teacher_head: RidgeHead,
        turn: int = 0,
    ) -> None:
        """Go on with an annotation that was taken before the training was saved.

        The parameters are those of `take`; ``turn`` is that of the patch sampler.
        """
        self.values = annotations.values
        self._annotations, self._heads = annotations, (head, teacher_head)
        if self._teacher is not None:
            self._teacher_head = LinearHead(self._teacher, self.device)
            self._teacher_head.start_from(teacher_head, annotations.values)
        self.version = annotations.version
        self._sampler = make_sampler(
            annotations,
            self.config,
            self.unet,
            self.patch_px,
            self.network.n_scales,
            self._rng,
        )
        self._sampler.turn = turn
        weights = weigh_classes(annotations, self.config.fine_tune.class_balance)
        self._class_weights = torch.from_numpy(weights).to(self.device)

    def step(self, notices: list[str]) -> float:
        """Do one optimiser step and return its loss.

        Where memory runs out, the batch and then the patch are halved and a sentence is
        added to ``notices``.

        Raises
        ------
        OutOfMemoryError
            If even one smallest patch does not fit.
        TrainingError
            If the loss stays not a number.
        """
        while True:
            try:
                return self._step()
            except out_of_memory_errors as error:
                if isinstance(error, OutOfMemoryError):
                    raise
                self._zero_grad()
                self._shrink(error)
            free_memory(self.device)
            notices.append(
                f"Ran out of memory: went on with {self.batch_size} "
                f"patch{'es' if self.batch_size > 1 else ''} of {self.patch_px} px."
            )

    def _step(self) -> float:
        value, shortage = math.nan, None
        try:
            value = self._backward()
        except out_of_memory_errors as error:
            shortage = error
        # all processes of a team go the same way, or they would wait for each other
        if not self._team.every(shortage is None):
            raise shortage or MemoryError("another process ran out of memory")
        if not self._team.every(math.isfinite(value)):
            return self._bad_step(value)
        self._team.average_gradients(
            [*self.unet.parameters(), *self._head.parameters()]
        )
        # SGD is the paper's, which neither cuts gradients nor begins slowly
        is_plain = self.config.fine_tune.optimizer == "sgd"
        longest = math.inf if is_plain else _LONGEST_GRADIENT
        norm = _clip(self.unet, longest) + _clip(self._head, longest)
        if not math.isfinite(norm):
            return self._bad_step(value)
        self._n_bad = 0
        warm_up = 1.0 if is_plain else min(1.0, (self.n_steps + 1) / _WARM_UP_STEPS)
        rate = self._learning_rate * warm_up
        self._optimizer.step(rate)
        self._head_optimizer.step(_HEAD_RATE * rate)
        self.n_steps += 1
        self._update_average()
        return value

    def _backward(self) -> float:
        """Draw a batch, compute its loss and the gradients, and return the loss."""
        assert self._sampler is not None
        batch = Batch.draw(self._sampler, self.batch_size, self.device)
        batch = batch.augmented(self.config.augmentation, self._generator)
        self.unet.train()
        loss = self._loss(batch)
        value = float(loss.detach())
        self._zero_grad()
        if math.isfinite(value):
            loss.backward()  # type: ignore[no-untyped-call]
        return value

    def _loss(self, batch: Batch) -> torch.Tensor:
        config, targets = self.config.fine_tune, batch.targets
        images = batch.images
        if images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        with autocast(self.device), self._dropout():
            logits = self._head.logits(self.unet, images).float()
        weights: tuple[torch.Tensor, ...] = ()
        if config.class_balance == "frequency" or batch.borders is not None:
            of_class = self._class_weights[targets.clamp(min=0)]
            weights = (of_class + (0 if batch.borders is None else batch.borders),)
        loss = sparse_loss(
            logits, targets, self._class_weights, config.dice_weight, *weights
        )
        if self._teacher is None or not config.stay_weight:
            return loss
        with torch.no_grad(), autocast(self.device):
            if images.ndim == 5:
                images = images[:, :, images.shape[2] // 2]
            known = self._teacher_head.logits(self._teacher.unet, images).float()
        return loss + config.stay_weight * _distance(
            logits, known.softmax(dim=1), targets == IGNORE_INDEX
        )

    def _dropout(self) -> AbstractContextManager[None]:
        """Let dropout follow the seed, and not what else the program draws."""
        if not self.unet.dropout.p:
            return nullcontext()
        return seeded(int(torch.randint(2**62, (), generator=self._generator)))

    def state(self) -> TrainerState:
        """Return all that another trainer needs to go on as this one would."""
        facts = TrainerFacts(
            values=self.values,
            network=self.unet.config,
            n_scales=self.network.n_scales,
            learning_rate=self._learning_rate,
            n_steps=self.n_steps,
            n_bad_steps=self._n_bad,
            batch_size=self.batch_size,
            patch_px=self.patch_px,
            is_short_of_memory=self._is_short_of_memory,
            turn=self._sampler.turn if self._sampler is not None else 0,
            rng=RandomFacts.of(self._rng),
        )
        parts = {
            "unet": self.unet.state_dict(),
            "average": self.average.state_dict(),
            "head": self._head.state(),
            "moments": self._optimizer.state(),
            "head_moments": self._head_optimizer.state(),
        }
        tensors = {f"{p}.{n}": t for p, part in parts.items() for n, t in part.items()}
        tensors["generator"] = self._generator.get_state()
        return TrainerState(facts, tensors, self._heads)

    def restore(self, state: TrainerState) -> None:
        """Take what `state` returned, for the same settings and network.

        Of several processes, all but the first draw a new series of patches.

        Raises
        ------
        ValueError
            If a part of it does not fit.
        """
        facts, tensors = state.facts, state.tensors
        self._head.restore(part_of(tensors, "head"), facts.values)
        load_weights(self.unet, part_of(tensors, "unet"))
        load_weights(self.average, part_of(tensors, "average"))
        self._optimizer.restore(part_of(tensors, "moments"))
        self._head_optimizer.restore(part_of(tensors, "head_moments"))
        self.values, self.n_steps = facts.values, facts.n_steps
        self._n_bad = facts.n_bad_steps
        self.batch_size, self.patch_px = facts.batch_size, facts.patch_px
        self._is_short_of_memory = facts.is_short_of_memory
        if self._team.rank:
            self._rng = np.random.default_rng((self._team.rank, facts.n_steps))
            self._generator.manual_seed(int(self._rng.integers(2**62)))
            return
        facts.rng.put_into(self._rng)
        set_generator(self._generator, tensors.get("generator"))

    def snapshot(self) -> Network:
        """Return a frozen copy of the averaged weights."""
        unet = copy.deepcopy(self.average)
        if unet.head.weight.shape != self.network.unet.head.weight.shape:
            # of other classes than at the start: `trained_head` has it
            unet.head = copy.deepcopy(self.network.unet.head)
        return self.network.with_weights(unet)

    @property
    def trained_head(self) -> TrainedHead | None:
        """The averaged last layer; None where the closed-form head is fitted anew."""
        return self._head.trained() if isinstance(self._head, OwnHead) else None

    def _update_average(self) -> None:
        # early on, the average follows at once: a long memory would hold random weights
        decay = min(
            self.config.fine_tune.average_decay, self.n_steps / (self.n_steps + 9)
        )
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.unet.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - decay)

    def rest(self) -> None:
        """Give back what only a running training needs."""
        self._zero_grad()
        empty_cache(self.device)

    def _zero_grad(self) -> None:
        for optimizer in (self._optimizer, self._head_optimizer):
            optimizer.zero_grad()

    def _bad_step(self, value: float) -> float:
        """Skip a step whose loss or gradient is not finite; give up after several."""
        self._n_bad += 1
        if self._n_bad < _MAX_BAD_STEPS:
            return value
        with torch.no_grad():
            self.unet.load_state_dict(self.average.state_dict())
        for optimizer in (self._optimizer, self._head_optimizer):
            optimizer.reset()
        assert self._heads is not None
        self._head.start_from(self._heads[0], self.values)
        self._n_bad = 0
        raise TrainingError(
            f"the loss was not a number for {_MAX_BAD_STEPS} steps: training stopped "
            "and went back to the averaged weights; lower the learning rate"
        )

    def _shrink(self, error: Exception) -> None:
        self._is_short_of_memory = True
        if self.batch_size > 1:
            self.batch_size //= 2
            return
        smaller = self.patch_px // 2 // 16 * 16
        if smaller < _SMALLEST_PATCH_PX or self._annotations is None:
            raise OutOfMemoryError(
                f"memory ran out on one patch of {self.patch_px} px: close other "
                "programs or images, or choose fewer base channels"
            ) from error
        self.patch_px = smaller
        assert self._heads is not None
        self.take(self._annotations, *self._heads)


def _clip(module: nn.Module, longest: float) -> float:
    """Shorten gradients to a norm, and return the norm that they had."""
    parameters = list(module.parameters())
    if not parameters:  # the network's own head: the network has them
        return 0.0
    return float(nn.utils.clip_grad_norm_(parameters, longest))


def _distance(
    logits: torch.Tensor, known: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Return the cross-entropy to known probabilities (B, K, H, W) in the mask.

    Classes that are rare in them weigh more, or they would be forgotten.
    """
    likely = known.argmax(dim=1)
    share = torch.bincount(likely.flatten(), minlength=known.shape[1]) / likely.numel()
    weights = share.clamp(min=0.01).rsqrt()[likely] * mask
    entropy = -(known * logits.log_softmax(dim=1)).sum(dim=1)
    return (entropy * weights).sum() / weights.sum().clamp(min=1e-6)
