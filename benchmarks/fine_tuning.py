"""Which recipe of fine-tuning helps, judged on images that pretraining left out.

Each recipe changes one setting of the usual one. The fine-tuned network alone is
scored, not what the gate would show, after so many optimiser steps. Steps are counted
and not seconds, so that a busy machine gives the same table. Cases are appended to
``--out`` as they are done; run it again, or several shards at once, and it goes on.

    python -m tools.pretrain.validation --data PRETRAIN copy LEFT_OUT
    python benchmarks/fine_tuning.py --data LEFT_OUT --window 320
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from _runs import (
    add_arguments,
    add_stroke_arguments,
    limit_threads,
    put_between_marks,
    read_records,
    read_sets,
    run_tasks,
    stroke_settings,
)

if TYPE_CHECKING:
    from _cases import Case
    from _data import Picture

    from napari_unet import Learner, LearnerConfig

Record = dict[str, Any]

# settings that a recipe has other than usual; "moves" is which layers learn
RECIPES: dict[str, Record] = {
    "usual": {},
    "rate x 3": {"learning_rate": 3e-3},
    "rate / 3": {"learning_rate": 3.3e-4},
    "stay 0": {"stay_weight": 0.0},
    "stay 2": {"stay_weight": 2.0},
    "patch 192 px, batch 2": {"patch_px": 192, "batch_size": 2},
    "average 0.99": {"average_decay": 0.99},
    "intensities": {"augmentation": {"contrast": 0.2, "brightness": 0.2}},
    "decoder moves": {"moves": "decoder"},
    "finest level moves": {"moves": "finest"},
}


def main() -> int:
    """Run what is not done yet, then print the table."""
    args = parse_arguments()
    limit_threads(args.threads)
    settings = {**stroke_settings(args), "steps": args.steps}
    n_failed = 0 if args.report else run(args, settings)
    records = read_records(args, settings, "usual")
    if not records:
        print(f"{args.out} holds no case with these settings.", file=sys.stderr)
        return 1
    text = report(records, args.steps)
    print(text)
    if args.markdown:
        put_between_marks(args.markdown, "fine-tuning", text)
    return 1 if n_failed else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "fine_tuning")
    add_stroke_arguments(parser)
    parser.add_argument("--strokes", nargs="+", type=int, default=[8], help="per class")
    parser.add_argument(
        "--steps", nargs="+", type=int, default=[20, 60], help="when to score"
    )
    parser.add_argument(
        "--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES)
    )
    return parser.parse_args()


def run(args: argparse.Namespace, settings: Record) -> int:
    """Run the cases of this shard that are not in the file; count failures."""
    from _cases import plan_cases, plan_tasks

    from napari_unet import LearnerConfig

    cases = plan_cases(read_sets(args), args.strokes, args.seeds)
    config = LearnerConfig(device=args.device, n_threads=args.threads)

    def work(case: Case, part: str, painted: Picture, other: Picture | None) -> Record:
        recipe = configured(config, RECIPES[part], case.seed)
        moves = RECIPES[part].get("moves", "all")
        return run_recipe(case, part, painted, other, args.steps, recipe, moves)

    tasks = plan_tasks(args, cases, args.recipes, work)
    return run_tasks(args, settings, tasks)


def configured(config: LearnerConfig, recipe: Record, seed: int) -> LearnerConfig:
    """Return settings changed as the recipe says."""
    recipe = {key: value for key, value in recipe.items() if key != "moves"}
    augmentation = config.augmentation.model_copy(update=recipe.pop("augmentation", {}))
    fine_tune = config.fine_tune.model_copy(update=recipe)
    return config.model_copy(
        update={"fine_tune": fine_tune, "augmentation": augmentation, "seed": seed}
    )


def run_recipe(
    case: Case,
    part: str,
    painted: Picture,
    other: Picture | None,
    steps: Sequence[int],
    config: LearnerConfig,
    moves: str,
) -> Record:
    """Return the scores of the network at the start and after so many steps."""
    from _judge import score_labels

    from napari_unet import Learner
    from napari_unet.annotation.simulate import simulate_strokes
    from napari_unet.jobs import finish

    pictures = {"same": painted} | ({"other": other} if other else {})
    learner = Learner(config)
    annotation = simulate_strokes(painted.truth, case.n_strokes, case.seed)
    learner.annotate(painted.image, annotation, axes=painted.axes)
    scores: dict[str, Any] = {}

    def look(candidate: str, key: str) -> None:
        scores[f"{part}@{key}"] = {
            where: score_labels(
                picture.truth,
                learner.predict(picture.image, axes=picture.axes, candidate=candidate),
                learner.class_values,
            )
            for where, picture in pictures.items()
        }

    finish(learner.update())
    if part == "usual":
        look("instant", "0")
    freeze(learner, moves)
    n_done, started = 0, time.perf_counter()
    for n_steps in steps:
        finish(learner.fine_tune(steps=n_steps - n_done))
        n_done = n_steps
        look("fine-tuned", str(n_steps))
    seconds = round(time.perf_counter() - started, 1)
    return {"scores": scores, "ready_s": {}, "tuned_s": {part: seconds}}


def freeze(learner: Learner, moves: str) -> None:
    """Let only some layers learn; no setting of the product does this."""
    from napari_unet.learning.networks import ensure_trainer

    unet = ensure_trainer(learner._state).unet
    moving = {
        "all": [unet],
        "decoder": [unet.up, unet.merge],
        "finest": [unet.up[0], unet.merge[0]],
    }[moves]
    unet.requires_grad_(False)
    for module in moving:
        module.requires_grad_(True)


def report(records: Sequence[Record], steps: Sequence[int]) -> str:
    """Return the table: differences from the instant network, means over sets."""
    from _tables import WHERE, by_set, gain, mean_iou, mean_of, number, table

    start = {where: by_set(records, "usual@0", where, mean_iou) for where in WHERE}
    rows = []
    for name in RECIPES:
        done = [r for r in records if f"{name}@{steps[-1]}" in r["scores"]]
        if not done:
            continue
        row = [name, str(len(done))]
        for n_steps in steps:
            row.append(
                " / ".join(
                    gain(
                        by_set(done, f"{name}@{n_steps}", where, mean_iou),
                        by_set(done, "usual@0", where, mean_iou),
                    )
                    for where in WHERE
                )
            )
        rows.append(row)
    level = " / ".join(number(mean_of(start[where])) for where in WHERE)
    header = ["recipe", "cases", *(f"after {n} steps" for n in steps)]
    return "\n".join(
        [
            f"The instant network alone: {level} (mean IoU, same / other image, means "
            f"over {len(start['same'])} sets). Below: what fine-tuning adds to it, "
            "± standard error over sets.",
            "",
            *table(header, rows),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
